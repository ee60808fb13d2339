import { ignore } from '../common/callback'
import { delay } from '../common/async'
import { ownFamilies } from '../metrics/own-families'
import { leavePort } from '../supervisor/worker/port-closer'
import { schedule } from '../supervisor/worker/shutdown-schedule'
import type { SupervisedWorker } from '../supervisor/worker/worker'
import type { Metroplex } from '../api/metroplex'
import type { Primus } from '../common/types'

/** The lowest rate at which the sparks of an ending worker are ended, per second. */
const LEAST_RATE = 100

/**
 * Leaves the registry as soon as `destroy` of Primus has ended the sparks.
 *
 * Primus emits 'close' only when its HTTP server has closed, which waits for the last open connection. So `destroy`
 * is wrapped.
 */
export function watchDestroy(primus: Primus, leave: () => Promise<void>): void {
  const original = primus.destroy.bind(primus)
  const destroy = (...args: [options?: unknown, fn?: unknown]): unknown => {
    const result = original(...args)
    const [options] = args
    const { timeout } = typeof options === 'object' && options !== null ? (options as { timeout?: unknown }) : {}
    // Primus has just set a timer of this length to end the sparks. Timers of one length fire in their order.
    setTimeout(
      () => {
        leave().catch((error: unknown) => primus.emit('error', error))
      },
      Number(timeout) || 0
    )
    return result
  }
  // Both names are read-only on the prototype, so that an assignment would throw.
  Object.defineProperty(primus, 'destroy', { value: destroy, configurable: true })
  Object.defineProperty(primus, 'end', { value: destroy, configurable: true })
}

/**
 * Lets a supervisor control this server: reports the worker ready when the server is registered, and shuts the server
 * down when the worker is told to end.
 *
 * @returns a function that ends this
 */
export function attachSupervisor(supervised: SupervisedWorker, primus: Primus, metroplex: Metroplex): () => void {
  // A server that never registers never becomes ready.
  const release = supervised.hold()
  // Not `ready()`, which may reject before the application registers an address itself.
  metroplex.once('register', () => {
    // The application's own listeners run first, so what they send arrives before the worker counts as ready.
    queueMicrotask(() => {
      release(true)
    })
  })
  const removeMetrics = supervised.metrics.add(() => ownFamilies(metroplex.core, metroplex.stats()))
  const removeHandler = supervised.onDrain(({ grace }) => shutDown(primus, metroplex, grace))
  return () => {
    // A destroyed server must not keep the worker from becoming ready.
    release(false)
    removeMetrics()
    removeHandler()
  }
}

/**
 * Takes no new connections, moves the sparks to other servers, and destroys Primus, within the schedule of a worker.
 */
async function shutDown(primus: Primus, metroplex: Metroplex, grace: number): Promise<void> {
  const steps = schedule(grace)
  const destroyed = delay(steps.destroyPrimus)
  const { server, connected } = primus
  // Other workers get the new connections. Without a private listener peers use the public port until the sparks have
  // moved.
  const left = metroplex.core.gateway.private ? leavePort(server, steps.leavePort) : undefined
  const drained = metroplex
    .drain({
      timeout: Math.floor(steps.moveSparks),
      rate: Math.max(LEAST_RATE, connected / (steps.spreadMoves / 1000))
    })
    .catch(ignore)
  // When Redis does not answer, leaving the registry takes up to `timeout` more, which may be longer than the grace
  // period.
  await Promise.race([drained, delay(steps.leavePort)])
  await left
  // An application that handles signals itself may have destroyed it already.
  if (primus.server === null) return
  const destroy = new Promise<void>(resolve => {
    primus.destroy({ reconnect: true }, () => {
      resolve()
    })
  })
  await Promise.race([destroy, destroyed])
}
