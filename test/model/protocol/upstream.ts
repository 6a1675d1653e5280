/**
 * The upstream server of the model, and the network before it: the ground truth. A request that was sent may take effect
 * now, later or never, before or after its answer, except where the answer itself rules that out.
 */
import type { Seen } from '../../../shared/call/seen.ts'

export type Request = {
  readonly id: number
  readonly key: string
  readonly callId: string
  readonly epoch: number
  readonly round: number
  landed: boolean
  /** It may still take effect. */
  mayLand: boolean
  seen: Seen | undefined
  /** What the server answered with, byte for byte. */
  raw: string | undefined
  /** The tool's time-out passed. */
  timedOut: boolean
}

export const happenings = ['lands', 'answers', 'fails', 'turns away', 'resets', 'asks', 'breaks'] as const
export type Happening = (typeof happenings)[number]

export function createUpstream() {
  const requests: Request[] = []
  return {
    requests: requests as readonly Request[],
    send: (about: Pick<Request, 'key' | 'callId' | 'epoch' | 'round'>): Request => {
      const request = {
        ...about,
        id: requests.length,
        landed: false,
        mayLand: true,
        seen: undefined,
        raw: undefined,
        timedOut: false,
      }
      requests.push(request)
      return request
    },
    happen,
  }
}
export type Upstream = ReturnType<typeof createUpstream>

function happen(request: Request, happening: Happening): void {
  if (happening === 'lands') return land(request)
  if (request.seen !== undefined) return
  switch (happening) {
    case 'answers':
      land(request)
      if (!request.landed) return
      return answer(request, {
        kind: 'result',
        raw: `{"content":[{"type":"text","text":"did ${request.id}"}]}`,
        isError: false,
      })
    case 'fails':
      return answer(request, {
        kind: 'result',
        raw: `{"content":[{"type":"text","text":"cannot ${request.id}"}],"isError":true}`,
        isError: true,
      })
    case 'turns away':
      if (request.landed) return
      request.mayLand = false
      request.seen = { kind: 'http', status: 429, session: false, excerpt: '' }
      return
    case 'asks':
      if (request.landed) return
      return answer(request, { kind: 'input_required', raw: `{"ask":${request.id}}`, requestState: `q${request.id}` })
    case 'resets':
      request.seen = { kind: 'lost', why: 'reset', message: '' }
      return
    case 'breaks':
      request.seen = { kind: 'http', status: 503, session: false, excerpt: '' }
      return
  }
}

function land(request: Request): void {
  if (!request.mayLand) return
  request.landed = true
  request.mayLand = false
}

/** The server itself answered: it is done with this request. */
function answer(request: Request, seen: Seen & { raw: string }): void {
  request.mayLand = false
  request.seen = seen
  request.raw = seen.raw
}
