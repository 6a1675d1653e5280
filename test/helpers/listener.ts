import { type Listener, openListener } from '../../shared/internal/listener.ts'
import { silent } from './silent.ts'

/** A free port on loopback. */
export const testListener = (needs: readonly string[] = []): Promise<Listener> =>
  openListener({ host: '127.0.0.1', port: 0, needs, log: silent })
