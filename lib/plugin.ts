import { ignore } from './callback'
import { now, pause } from './deadline'
import { surface, type Forward } from './delivery/surface'
import { asError, shown } from './errors'
import { Message } from './message'
import { Metroplex } from './metroplex'
import { leavePort } from './supervisor/port'
import { worker, type SupervisedWorker } from './supervisor/worker'
import { omegaReceiver } from './transport/omega/receiver'
import { OmegaSender, type Bounds, type OmegaWire } from './transport/omega/sender'
import type { Primus, PrimusOptions, Spark } from './types'

/** The events that also appear on `primus`, and are reserved there; the other ones are on `primus.metroplex` alone. */
const MIRRORED = ['register', 'unregister', 'error'] as const

/** omega-supreme's default password, which everybody can read. */
const PUBLISHED = 'supreme'
let warned = false

/** omega-supreme's layer; its name tells that it is loaded. */
const OMEGA = 'omega-supreme'

/** What part of its grace a worker that ends has moved its sparks by, if it can, has let go of whoever else is connected, and waits no longer for those whom it cannot let go of. */
const [MOVES_SPARKS, LEAVES_PORT, ENDS] = [0.6, 0.8, 0.9]

/** How many sparks a second are moved at the least, and what part of their time is used when that would not do. */
const [RATE, EVENLY] = [100, 0.8]

/** The layer that keeps new sparks out while we drain. */
const GATE = 'metroplex drain'

/**
 * The server half of the plugin: ties Primus's events, middleware and shutdown to our methods.
 *
 * A client that is made with our name among its plugins runs this too, on a server that cannot listen: nothing is done there.
 */
export function server(primus: Primus, options: PrimusOptions): void {
  if (!canListen(primus.server)) return
  const metroplex = new Metroplex(primus, options)
  const { core } = primus.metroplex = metroplex

  for (const event of MIRRORED) {
    // Shared by all Primus servers of the process, and harmless so.
    primus.reserved.events[event] = 1
    metroplex.on(event, (detail: string | Error) => primus.emit(event, detail))
  }

  const closed = primus.Spark.CLOSED
  const connection = (spark: Spark): void => {
    // A slow listener before ours may have let it go meanwhile, and its disconnection with it.
    if (spark.readyState === closed) return
    if (!core.drain.active) metroplex.connect(spark)
    // It slipped in. Listeners after ours have to hear of it before they hear that it has gone.
    else setImmediate(() => spark.end(undefined, { reconnect: true }))
  }
  const disconnection = (spark: Spark): void => {
    metroplex.core.replies.gone(spark)
    metroplex.disconnect(spark)
  }
  /** Of an application's `idGenerator` anything may come, and Primus's events must not throw for it. */
  const reported = (listener: (spark: Spark) => void) => (spark: Spark): void => {
    try {
      listener(spark)
    } catch (error) {
      metroplex.emit('error', asError(error))
    }
  }
  const listening = (): void => { metroplex.begin() }
  const [connected, disconnected] = [reported(connection), reported(disconnection)]
  primus.on('connection', connected)
  primus.on('disconnection', disconnected)
  primus.server.on('listening', listening)
  metroplex.begin()

  // What peers ask stands first, and is answered while we drain, too.
  primus.use('metroplex', core.post.middleware, {}, primus.indexOfLayer('authorization'))
  primus.use(GATE, core.gate.middleware, {}, primus.indexOfLayer('authorization'))
  attachForward(primus, metroplex, options)

  const supervised = worker()
  const forget = supervised === null ? ignore : obey(supervised, primus, metroplex)

  const leave = (): Promise<void> => {
    forget()
    return metroplex.close()
  }
  watchDestroy(primus, leave)
  // Two parameters: Primus waits for `next`. An error would stop its cleaning up, so that none is handed on.
  primus.on('close', (_options: unknown, next: () => void) => { leave().then(next, next) })
  primus.on('plugout', (_name: string, plugin: { server?: unknown }) => {
    if (plugin.server !== server) return
    primus.removeListener('connection', connected)
    primus.removeListener('disconnection', disconnected)
    for (const layer of ['metroplex', GATE]) primus.remove(layer)
    leave().catch((error: unknown) => primus.emit('error', error))
  })
}

/**
 * Do what a supervisor's worker is to do: report ready once we are registered, and, told to end, take no more connections, move the sparks away, and end the server.
 *
 * @returns what ends that
 */
function obey(supervised: SupervisedWorker, primus: Primus, metroplex: Metroplex): () => void {
  // Whoever never registers is not ready.
  const release = supervised.hold()
  metroplex.ready().then(() => { release(true) }, ignore)
  const forget = supervised.onDrain(async ({ grace }) => {
    const end = now() + grace * ENDS
    const { server } = primus
    const { connected } = primus
    // New ones get to another worker. Where peers come to the same port, they have to reach us until our sparks have gone.
    const left = metroplex.core.post.private ? leavePort(server, grace * LEAVES_PORT) : undefined
    const drained = metroplex.drain({ timeout: Math.floor(grace * MOVES_SPARKS), rate: Math.max(RATE, connected / (grace * MOVES_SPARKS * EVENLY / 1000)) }).catch(ignore)
    // Leaving a Redis that is away takes up to `timeout` more, which may be more than there is.
    await Promise.race([drained, pause(grace * LEAVES_PORT)])
    await left
    // An application that listens to signals itself may have destroyed it already.
    if (primus.server === null) return
    await new Promise<void>(resolve => {
      primus.destroy({ reconnect: true }, () => { resolve() })
      setTimeout(resolve, Math.max(0, end - now())).unref()
    })
  })
  return () => {
    // Nobody waits for a server that is none any more.
    release(false)
    forget()
  }
}

/**
 * Leave the registry the moment the sparks have been ended: Primus tells of its end only when its HTTP server has closed,
 * which waits for every straggler.
 */
function watchDestroy(primus: Primus, leave: () => Promise<void>): void {
  const original = primus.destroy.bind(primus)
  const destroy = (...args: [options?: unknown, fn?: unknown]): unknown => {
    const result = original(...args)
    const [options] = args
    const { timeout } = typeof options === 'object' && options !== null ? options as { timeout?: unknown } : {}
    // Primus has just set a timer of this length to end the sparks: timers of one length fire in their order.
    setTimeout(() => { leave().catch((error: unknown) => primus.emit('error', error)) }, Number(timeout) || 0)
    return result
  }
  // Assigning would fail: both names are read-only on the prototype.
  Object.defineProperty(primus, 'destroy', { value: destroy, configurable: true })
  Object.defineProperty(primus, 'end', { value: destroy, configurable: true })
}

/**
 * `primus.forward`, and whatever comes in for our sparks. Where omega-supreme is loaded, before us or after, our function takes the place of its own, and our
 * layer that of its layer.
 */
function attachForward(primus: Primus, metroplex: Metroplex, options: PrimusOptions): void {
  const { settings: { timeout, maxBody, tls }, post, local, forwarder, requests } = metroplex.core
  const forward = surface(forwarder, requests, primus)

  let loaded = false
  const sender = omegaSender(options, { timeout, maxBody, tls })
  if (sender !== undefined) post.use({ sender, always: () => loaded && options.middleware !== undefined })
  /** @returns whether omega-supreme has been loaded since we looked last */
  const look = (): boolean => {
    if (loaded || primus.indexOfLayer(OMEGA) === -1) return false
    const wire = wireOf(options)
    loaded = true
    warnOfPublished(wire)
    const receive = omegaReceiver(wire, () => options.middleware, { timeout, maxBody }, ({ msg, sparks, except }) => {
      const message = Message.of(msg, false)
      return sparks === undefined ? local.all(message, new Set(except)) : local.some(sparks, message)
    })
    primus.use(OMEGA, receive, {}, primus.indexOfLayer(OMEGA))
    post.serve(receive)
    return true
  }
  look()
  let current: unknown = forward
  // What omega-supreme assigns is what we replace; what the application does, is its own.
  const assign = (assigned: unknown): void => { if (!look()) current = assigned }
  Object.defineProperty(primus, 'forward', { get: () => current, set: assign, enumerable: true, configurable: true })
}

/** What reaches servers of 1.x; `undefined` when the options for it cannot be meant so, as long as omega-supreme is not loaded. */
function omegaSender(options: PrimusOptions, bounds: Bounds): OmegaSender | undefined {
  try {
    return new OmegaSender(wireOf(options), bounds)
  } catch {
    return undefined
  }
}

/** omega-supreme's options, with its defaults. */
function wireOf(options: PrimusOptions): OmegaWire {
  return {
    url: options.url ?? '/primus/omega/supreme',
    method: (options.method ?? 'PUT').toUpperCase(),
    username: credential(options, 'username', 'omega'),
    password: credential(options, 'password', PUBLISHED)
  }
}

/** Say once, loudly, that everybody knows the password. */
function warnOfPublished({ password }: OmegaWire): void {
  if (password !== PUBLISHED || warned) return
  warned = true
  process.emitWarning(
    "omega-supreme runs with the password that is published in its documentation: whoever reaches the port can write to all clients. Set the option `password`.",
    { code: 'METROPLEX_PUBLISHED_PASSWORD' }
  )
}

/** @throws TypeError for one that is there and empty: a variable that is not set must not open the door to the published one */
function credential(options: PrimusOptions, name: 'username' | 'password', standard: string): string {
  const given: unknown = name in options ? options[name] : standard
  if (typeof given === 'string' && given !== '') return given
  throw new TypeError(`metroplex: omega-supreme's \`${name}\` must be a string that is not empty; given: ${shown(given)}. Leave it out for the default.`)
}

function canListen(candidate: unknown): candidate is { on(event: string, listener: () => void): unknown } {
  return typeof candidate === 'object' && candidate !== null && typeof (candidate as { listen?: unknown }).listen === 'function'
}

export type { Forward }
