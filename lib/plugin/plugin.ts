import { SparkReconciler } from './spark-reconciler'
import { attachForward } from './omega'
import { SparkIds } from './spark-ids'
import { ServerWatch, type WatchedServer } from './server-watch'
import { attachSupervisor, watchDestroy } from './shutdown'
import { ignore } from '../common/callback'
import { asError } from '../common/errors'
import { Metroplex } from '../api/metroplex'
import { ThrottledReports } from '../reporting/throttled-reports'
import { RoomsAdapter } from '../rooms/rooms-adapter'
import { worker } from '../supervisor/worker/worker'
import type { Forward } from '../delivery/forward-api'
import type { Layer, Middleware, Primus, PrimusOptions, Spark } from '../common/types'

/** The events that are emitted on `primus` too, and reserved there. The others are only on `primus.metroplex`. */
const MIRRORED = ['register', 'unregister', 'error'] as const

/** The name of the layer that answers peers. */
const ENDPOINT = 'metroplex'

/** The name of the layer that refuses new sparks during a drain. */
const GATE = 'metroplex drain'

/**
 * The server half of the plugin: connects Primus's events, middleware and shutdown to a `Metroplex`.
 *
 * A client socket with metroplex among its plugins calls this too, with a server that cannot listen. Then it does
 * nothing.
 */
export function server(primus: Primus, options: PrimusOptions): void {
  if (!canListen(primus.server)) return
  const { adapter } = (options as { rooms?: { adapter?: unknown } }).rooms ?? {}
  if (adapter instanceof RoomsAdapter) adapter.attach(primus)
  const metroplex = new Metroplex(primus, options)
  const { core } = (primus.metroplex = metroplex)
  const ids = new SparkIds(primus)
  core.tag = () => ids.tag

  for (const event of MIRRORED) {
    // All Primus servers of the process share this object; that does no harm.
    primus.reserved.events[event] = 1
    metroplex.on(event, (detail: string | Error) => primus.emit(event, detail))
  }

  const closed = primus.Spark.CLOSED
  const ended = (spark: Spark): boolean => spark.readyState === closed
  const connection = (spark: Spark): void => {
    reconciler.arrived(spark)
    // It may have ended while an asynchronous listener before ours ran; its 'disconnection' has been emitted then.
    if (ended(spark)) return
    if (!core.drain.active) metroplex.connect(spark)
    // It passed the gate before the drain began. Listeners after ours must see its 'connection' before its end.
    else setImmediate(() => spark.end(undefined, { reconnect: true }))
  }
  const disconnection = (spark: Spark): void => {
    metroplex.disconnect(spark)
  }
  /** An application's `idGenerator` may return an invalid id. The events of Primus must not throw for that. */
  const idReports = new ThrottledReports(error => {
    metroplex.tell('error', error)
  })
  const guarded =
    (listener: (spark: Spark) => void) =>
    (spark: Spark): void => {
      try {
        listener(spark)
      } catch (error) {
        idReports.complain('spark', () => asError(error))
      }
    }
  const [connected, disconnected] = [guarded(connection), guarded(disconnection)]
  primus.on('connection', connected)
  primus.on('disconnection', disconnected)
  const reconciler = new SparkReconciler({
    connected: () => primus.connected,
    tables: () => core.shards.sparks.tables,
    ended,
    missed: connected,
    gone: disconnected
  })
  const announce = function (this: Spark): void {
    reconciler.announce(this)
  }
  primus.Spark.prototype.initialise = announce
  primus.forEach(spark => {
    reconciler.announce(spark)
  })
  const watch = new ServerWatch(primus.server, {
    listening: () => {
      metroplex.registration.listened()
    },
    closed: () => {
      metroplex.registration.closed()
    }
  })
  const looks = setInterval(() => {
    reconciler.look()
    watch.look()
  }, core.beats).unref()
  const releaseTransformer = keepTransformer(primus)
  metroplex.registration.begin()

  // Before the gate, so that peers are answered during a drain.
  const removeEndpoint = placeFirst(primus, core.gateway.middleware)
  primus.use(GATE, core.gate.middleware, {}, primus.indexOfLayer('authorization'))
  attachForward(primus, metroplex, options)

  const supervised = worker()
  const detach = supervised === null ? ignore : attachSupervisor(supervised, primus, metroplex)

  const leave = (): Promise<void> => {
    detach()
    clearInterval(looks)
    watch.stop()
    releaseTransformer()
    ids.release()
    reconciler.close()
    const hooks = primus.Spark.prototype.__initialise
    if (hooks.includes(announce)) hooks.splice(hooks.indexOf(announce), 1)
    return metroplex.close()
  }
  watchDestroy(primus, leave)
  // With two parameters Primus waits for `next`. It gets no error, because that would stop the cleanup of Primus.
  primus.on('close', (_options: unknown, next: () => void) => {
    leave().then(next, next)
  })
  primus.on('plugout', (_name: string, plugin: { server?: unknown }) => {
    if (plugin.server !== server) return
    primus.removeListener('connection', connected)
    primus.removeListener('disconnection', disconnected)
    removeEndpoint()
    primus.remove(GATE)
    leave().catch((error: unknown) => primus.emit('error', error))
  })
}

/**
 * Adds our endpoint as the first layer, and keeps it first when layers are added later, at any index.
 *
 * A layer that refuses clients would refuse peers too. Peers sign their requests and need no other check. An
 * application may still remove or disable the layer by its name.
 *
 * @returns a function that removes it
 */
function placeFirst(primus: Primus, fn: Middleware): () => void {
  const ours: Layer = { length: fn.length, enabled: true, name: ENDPOINT, fn }
  const others = (): Layer[] => primus.layers.filter(layer => layer !== ours)
  // The list is replaced and not changed, so that a request which is passing through it meets each layer once.
  primus.layers = [ours, ...primus.layers]
  const { transformer } = primus
  const original = transformer.forEach as (...args: unknown[]) => unknown
  const forEach = (...args: unknown[]): unknown => {
    const { layers } = primus
    // The application may have replaced our layer by one of the same name.
    const wanted = layers[0] !== ours && (layers.includes(ours) || primus.indexOfLayer(ENDPOINT) !== -1)
    if (wanted) primus.layers = [ours, ...others()]
    return original.apply(transformer, args)
  }
  // The name is read-only on the prototype, so that an assignment would throw.
  Object.defineProperty(transformer, 'forEach', { value: forEach, configurable: true })
  return () => {
    if (transformer.forEach === forEach) Reflect.deleteProperty(transformer, 'forEach')
    primus.layers = others()
  }
}

/**
 * Keeps the transformer of Primus open when the HTTP server emits 'close', until Primus is destroyed.
 *
 * A server that has closed may listen again. A transformer that has closed answers each client with 503 then.
 *
 * @returns a function that undoes it
 */
function keepTransformer(primus: Primus): () => void {
  const transformer = primus.transformer as object as { emit?: unknown }
  const original = transformer.emit as (...args: unknown[]) => unknown
  // `destroy` emits it with its options, the HTTP server without arguments.
  const emit = (...args: unknown[]): unknown =>
    args.length === 1 && args[0] === 'close' ? false : original.apply(transformer, args)
  Object.defineProperty(transformer, 'emit', { value: emit, configurable: true, writable: true })
  return () => {
    if (transformer.emit === emit) Reflect.deleteProperty(transformer, 'emit')
  }
}

function canListen(candidate: unknown): candidate is WatchedServer {
  return (
    typeof candidate === 'object' &&
    candidate !== null &&
    typeof (candidate as { listen?: unknown }).listen === 'function'
  )
}

export type { Forward }
