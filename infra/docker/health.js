/**
 * HEALTHCHECK of the image: a container runs one service, so whichever of its ports answers decides. Plain JavaScript:
 * it starts every few seconds and should cost no more than that.
 */
import { argv, env, exit, stdout } from 'node:process'

const path = argv[2] ?? '/readyz'
const ports = [env.HOLDFAST_FRONT_PORT || 8080, env.HOLDFAST_BROKER_PORT || 8081, env.HOLDFAST_AUDIT_PORT || 8090]

const ask = async port => {
  const response = await fetch(`http://127.0.0.1:${port}${path}`, { signal: AbortSignal.timeout(4_000) })
  return { ok: response.ok, text: await response.text() }
}
const answers = await Promise.allSettled(ports.map(ask))
const answer = answers.find(({ status }) => status === 'fulfilled')?.value ?? { ok: false, text: 'nothing answers' }
stdout.write(answer.text)
exit(answer.ok ? 0 : 1)
