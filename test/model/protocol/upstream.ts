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
  readonly attempt: number
  readonly sentAt: number
  /** The server remembers the key: of such requests of one round one takes effect. */
  readonly honoured: boolean
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
    send: (about: Pick<Request, 'key' | 'callId' | 'epoch' | 'round' | 'attempt' | 'sentAt' | 'honoured'>): Request => {
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
    happen: (request: Request, happening: Happening): void => happen(requests, request, happening),
    /** A server is done with a request some time after it was sent, heard or not: what a probe relies on. */
    giveUpBefore: (time: number): void => {
      for (const request of requests) if (request.sentAt < time) request.mayLand = false
    },
  }
}
export type Upstream = ReturnType<typeof createUpstream>

function happen(all: readonly Request[], request: Request, happening: Happening): void {
  if (happening === 'lands') return land(all, request)
  if (request.seen !== undefined) return
  switch (happening) {
    case 'answers':
      land(all, request)
      if (landedOf(all, request) === undefined) return
      return answer(request, {
        kind: 'result',
        raw: `{"content":[{"type":"text","text":"did ${landedOf(all, request)?.id}"}]}`,
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

function land(all: readonly Request[], request: Request): void {
  if (!request.mayLand) return
  request.mayLand = false
  if (landedOf(all, request) === undefined) request.landed = true
}

/** The request whose effect this one has: its own, or that of an earlier one with the same key. */
const landedOf = (all: readonly Request[], { id, key, epoch, round, honoured }: Request): Request | undefined =>
  all.find(
    other =>
      other.landed &&
      (other.id === id ||
        (honoured && other.honoured && other.key === key && other.epoch === epoch && other.round === round)),
  )

/** The server itself answered: it is done with this request. */
function answer(request: Request, seen: Seen & { raw: string }): void {
  request.mayLand = false
  request.seen = seen
  request.raw = seen.raw
}
