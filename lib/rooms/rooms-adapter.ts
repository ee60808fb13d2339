import { callbackify, ignore, isCallback, type Callback } from '../common/callback'
import { asError, inspectValue, kindOf, MetroplexError } from '../common/errors'
import type { GroupPlace, GroupSpark, Result } from '../common/types'
import type { Forward } from '../delivery/forward-api'
import { besides, ThrottledReports } from '../reporting/throttled-reports'
import { misused } from './misuse'
import { roomsOf } from './room-names'
import { transformed } from './transformed'

/** Options of the adapter. */
export interface RoomsAdapterOptions {
  /**
   * Whether `*` in the name of a room is a pattern, as in primus-rooms. Patterns are refused; with `false`, `*` is a
   * letter like any other. @default true
   */
  readonly wildcard?: boolean
}

/** What a broadcast of primus-rooms says beside its data. */
export interface RoomsBroadcast {
  /** None: all sparks of the cluster. */
  readonly rooms?: readonly string[]
  /** The ids of sparks that do not get it. */
  readonly except?: readonly string[]
  /** `'send'`: an event of primus-emitter. @default 'write' */
  readonly method?: string
  readonly transformer?: unknown
}

/** A callback of primus-rooms. */
export type RoomsCallback<T = void> = Callback<T>

/** What the adapter uses of `primus.metroplex`. */
interface RoomsCluster {
  readonly core: {
    readonly shards: {
      readonly groups: { of(id: string): string[]; all(): Iterable<string> }
      readonly sparks: { owns(id: string): boolean }
    }
    /** Called with the id of each spark that ends, while its groups are still known. */
    readonly ending: Set<(id: string) => void>
  }
  tell(event: 'error', error: Error): void
  servers(self: boolean): Promise<string[]>
  join(ids: string | number, groups: readonly string[]): Promise<Result>
  leave(ids: string | number, groups?: readonly string[]): Promise<Result>
  disband(groups: readonly string[]): Promise<Result>
  groups(names: readonly string[]): Promise<GroupPlace[]>
  groupsOf(id: string): Promise<string[]>
  groupsOn(address: string): AsyncIterable<string>
  sparksIn(group: string): AsyncIterable<GroupSpark>
}

/** What the adapter uses of a Primus server. */
interface RoomsPrimus {
  readonly server?: unknown
  readonly connections?: object
  readonly metroplex?: RoomsCluster
  readonly forward?: Forward
}

/** The type of the packets of primus-emitter that are events. */
const EVENT = 0

/** The most groups that are disbanded at a time. */
const DISBANDED = 500

/**
 * The adapter of primus-rooms whose rooms are groups of the cluster: `spark.join`, `primus.room(name).write(…)` and the
 * other methods of primus-rooms then reach the sparks of all servers.
 *
 * The plugin `metroplex` finds it in the option `rooms` of Primus. A Primus has an adapter of its own.
 *
 * The callback of a join or leave comes when all servers know it; primus-rooms emits `roomserror` when it fails. A
 * broadcast has no callback: its failures are the event `error` of `primus.metroplex`, one of each kind a minute.
 *
 * What other servers have comes by callback alone: `clients`, `isRoomEmpty`. At once come the rooms of a local spark
 * with `spark.rooms()`, and with `primus.rooms()` those of this server.
 *
 * @throws TypeError for a wrong option
 *
 * @example
 * const adapter = new RoomsAdapter()
 * const chat = new Primus(server, { rooms: { adapter } })
 */
export class RoomsAdapter {
  readonly #wildcard: boolean
  #primus: RoomsPrimus | undefined
  #followed: RoomsCluster | undefined
  /** The rooms of sparks that end in this turn of the event loop: primus-rooms asks when they have left. */
  readonly #ended = new Map<string, string[]>()
  readonly #reports = new ThrottledReports(error => {
    this.#primus?.metroplex?.tell('error', error)
  })

  constructor(options: RoomsAdapterOptions = {}) {
    const { wildcard = true, ...more } = options
    if (typeof wildcard !== 'boolean' || Object.keys(more).length > 0)
      throw new TypeError('metroplex: the options of `RoomsAdapter` must be { wildcard: true or false }, or none.')
    this.#wildcard = wildcard
  }

  /**
   * Use a Primus server. The plugin `metroplex` does so for the adapter in `options.rooms`; call it for one that you
   * assign to `primus.adapter`.
   *
   * @throws Error when another Primus uses it
   */
  attach(primus: object): this {
    const earlier = this.#primus
    if (earlier !== undefined && earlier !== primus && earlier.server !== null)
      throw new Error('metroplex: another Primus uses this RoomsAdapter: create one for each.')
    this.#primus = primus
    return this
  }

  /** Let a spark enter a room. @param fn gets an error when no server holds the spark, or its server cannot be asked */
  add(id: string | number, room: string, fn?: RoomsCallback): void {
    answer(this.#add(this.#cluster, id, room), fn)
  }

  /** As `add`. */
  set(id: string | number, room: string, fn?: RoomsCallback): void {
    this.add(id, room, fn)
  }

  /**
   * The rooms of a spark; those of all servers, when `id` is `null`.
   *
   * @returns at once: those of a local spark; those of this server, when `id` is `null`
   */
  get(id: string | number | null, fn?: RoomsCallback<string[]>): string[] {
    const cluster = this.#cluster
    const { groups, sparks } = cluster.core.shards
    if (id === null) {
      answer(everyGroup(cluster), fn)
      return [...groups.all()]
    }
    const key = String(id)
    const here = this.#ended.get(key) ?? (sparks.owns(key) ? groups.of(key) : undefined)
    answer(here === undefined ? cluster.groupsOf(key) : Promise.resolve([...here]), fn)
    return here ?? []
  }

  /** Let a spark leave a room; all of its rooms, when `room` is `null`. */
  del(id: string | number, room: string | null, fn?: RoomsCallback): void {
    const cluster = this.#cluster
    // A spark that has ended has left already.
    answer(this.#ended.has(String(id)) ? Promise.resolve() : this.#del(cluster, id, room), fn)
  }

  /**
   * Send to all sparks in rooms, on all servers: to each of them once. It throws nothing: failures are the event
   * `error` of the cluster.
   *
   * @param data the arguments of `write` or `send`
   * @param clients the sparks of the caller, which must be those of Primus
   */
  broadcast(data: readonly unknown[], options: RoomsBroadcast = {}, clients?: object): void {
    const { forward, connections } = this.#attached
    try {
      if (clients !== undefined && clients !== connections)
        throw misused(
          'channel',
          'metroplex: RoomsAdapter is for the sparks of Primus; those of a channel of primus-multiplex are others.'
        )
      this.#send(forward, data, options)
    } catch (error) {
      this.#failed(asError(error))
    }
  }

  /** The ids of the sparks in a room, on all servers. With an error, `fn` gets those that were found all the same. */
  clients(room: string, fn?: RoomsCallback<string[]>): void {
    const ids: string[] = []
    const listed = this.#list(this.#cluster, room, ids)
    answer(
      listed,
      fn &&
        (error => {
          fn(error, ids)
        })
    )
  }

  /** Let all sparks leave a room or several. */
  empty(rooms: string | readonly string[], fn?: RoomsCallback): void {
    answer(this.#empty(this.#cluster, rooms), fn)
  }

  /** Whether no spark of any server is in a room. @throws TypeError without a callback */
  isEmpty(room: string, fn?: RoomsCallback<boolean>): void {
    if (!isCallback(fn))
      throw new TypeError('metroplex: whether a room is empty is a question to Redis: pass a callback.')
    answer(this.#isEmpty(this.#cluster, room), fn)
  }

  /** Let all sparks of all servers leave all rooms. */
  clear(fn?: RoomsCallback): void {
    answer(disbandAll(this.#cluster), fn)
  }

  /** The attached Primus. @throws Error without one */
  get #attached(): Required<RoomsPrimus> {
    const primus = this.#primus
    if (primus?.metroplex === undefined)
      throw new Error(
        'metroplex: RoomsAdapter needs a Primus with the plugin `metroplex`. Pass `rooms: { adapter }` to Primus, or ' +
          'call `adapter.attach(primus)`, and load the plugin.'
      )
    return primus as Required<RoomsPrimus>
  }

  get #cluster(): RoomsCluster {
    const { metroplex } = this.#attached
    if (this.#followed !== metroplex) {
      this.#followed = metroplex
      const { ending, shards } = metroplex.core
      ending.add(id => {
        if (this.#ended.size === 0) setImmediate(() => this.#ended.clear())
        this.#ended.set(id, shards.groups.of(id))
      })
    }
    return metroplex
  }

  #send(forward: Forward, data: readonly unknown[], options: RoomsBroadcast): void {
    const { rooms = [], except = [], method, transformer } = options
    const values = transformed(data, transformer)
    if (values === undefined) return
    const msg = method === 'send' ? { type: EVENT, data: values } : values[0]
    const done = (error: Error | null): void => {
      if (error !== null) this.#failed(error)
    }
    if (rooms.length === 0) forward.except(except, msg, done)
    else forward.group(roomsOf(rooms, this.#wildcard), msg, { except }, done)
  }

  #failed(error: Error): void {
    this.#reports.complain(
      kindOf(error),
      withheld =>
        new MetroplexError(
          error instanceof MetroplexError ? error.code : 'EGROUP',
          `A message to rooms was not sent, or not to all sparks: ${error.message}${besides(withheld)}`,
          { cause: error }
        )
    )
  }

  async #add(cluster: RoomsCluster, id: string | number, room: string): Promise<void> {
    const { missing, failed } = await cluster.join(id, roomsOf(room, this.#wildcard))
    if (missing !== undefined) throw new MetroplexError('ENOSPARK', `No server holds the spark ${inspectValue(id)}.`)
    refuse(failed)
  }

  async #del(cluster: RoomsCluster, id: string | number, room: string | null): Promise<void> {
    refuse((await cluster.leave(id, room === null ? undefined : roomsOf(room, this.#wildcard))).failed)
  }

  async #list(cluster: RoomsCluster, room: string, ids: string[]): Promise<void> {
    for (const name of roomsOf(room, this.#wildcard))
      for await (const { spark } of cluster.sparksIn(name)) ids.push(spark)
  }

  async #empty(cluster: RoomsCluster, rooms: string | readonly string[]): Promise<void> {
    refuse((await cluster.disband(roomsOf(rooms, this.#wildcard))).failed)
  }

  async #isEmpty(cluster: RoomsCluster, room: string): Promise<boolean> {
    return (await cluster.groups(roomsOf(room, this.#wildcard))).every(({ sparks }) => sparks === 0)
  }
}

/** Answer by callback, if there is one. */
function answer<T>(promise: Promise<T>, fn: RoomsCallback<T> | undefined): void {
  promise.catch(ignore)
  if (isCallback(fn)) callbackify(promise, fn, undefined)
}

/** @throws MetroplexError for the first failure of a result */
function refuse(failed: Result['failed']): void {
  const [first] = failed ?? []
  if (first === undefined) return
  const { code, message, address, maybe } = first
  throw new MetroplexError(code, message, { address, maybe })
}

/** The groups of all servers. */
async function everyGroup(cluster: RoomsCluster): Promise<string[]> {
  const groups = new Set<string>()
  const read = async (address: string): Promise<void> => {
    for await (const group of cluster.groupsOn(address)) groups.add(group)
  }
  await Promise.all((await cluster.servers(true)).map(read))
  return [...groups]
}

async function disbandAll(cluster: RoomsCluster): Promise<void> {
  const groups = await everyGroup(cluster)
  for (let first = 0; first < groups.length; first += DISBANDED)
    refuse((await cluster.disband(groups.slice(first, first + DISBANDED))).failed)
}
