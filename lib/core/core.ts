import { delay } from '../common/async'
import { ignore } from '../common/callback'
import { MetroplexError } from '../common/errors'
import type { Requester } from '../delivery/forward-api'
import { Forwarder } from '../delivery/forwarder'
import { Describer, type DescribedCluster } from '../descriptions/describer'
import { NO_DESCRIPTIONS, type Describes } from '../descriptions/local-descriptions'
import { GroupForwarder, type GroupLocator } from '../delivery/group-forwarder'
import { NO_SPARKS, type Here } from '../delivery/local'
import type { MetroplexEvents, State } from '../reporting/types'
import { GroupChanges, type GroupCluster } from '../groups/group-changes'
import { GroupLists } from '../groups/group-lists'
import { UserBar, type BarringCluster } from '../limits/user-bar'
import { Operator } from '../operations/operator'
import { PresenceHub } from '../presence/presence-hub'
import { ClientPolls } from '../groups/client-polls'
import type { LocalGroups } from '../groups/group-questions'
import type { KnownServers } from '../rpc/addressees'
import { RpcCaller, type LocalResponder } from '../rpc/caller'
import { Calls } from '../rpc/calls'
import { ClientRequests } from '../rpc/client-requests'
import { EventPublisher } from '../rpc/event-publisher'
import type { SparkLocator } from '../rpc/spark-owner'
import type { Shards } from '../shards/shards'
import type { Stats } from '../reporting/stats'
import type { Gateway } from '../transport/gateway'
import type { Backbone } from './backbone'

/** How long a server waits until peers have received its last messages, in ms. Their next beat tells them as well. */
export const FAREWELL = 250

/** Emits a public event. */
export type Emit = <E extends keyof MetroplexEvents>(event: E, ...args: Parameters<MetroplexEvents[E]>) => void

type ForwarderCluster = ConstructorParameters<typeof Forwarder>[2]

/** The parts of a server to which its own questions and messages go without a network. */
export interface LocalParts {
  readonly local: Here
  /** Absent in a process that answers no questions. */
  readonly responder?: LocalResponder
  /** Absent in a process without sparks. */
  readonly descriptions?: Describes
  /** Keeps users out. Absent in a process without sparks. */
  readonly bar?: BarringCluster['here']
}

/** What a process can ask of a cluster, and send to it: all that `createClient` needs. A server adds `ServerCore`. */
export class Core {
  readonly stats: Stats
  readonly shards: Shards
  readonly gateway: Gateway
  readonly local: Here
  readonly forwarder: Forwarder
  readonly groupForwarder: GroupForwarder
  readonly groupChanges: GroupChanges
  readonly groupLists: GroupLists
  readonly presence: PresenceHub
  readonly describer: Describer
  readonly userBar: UserBar
  /** Asks single servers how they are. */
  readonly operator: Operator
  /** The groups of our own sparks. */
  protected readonly localGroups: LocalGroups
  readonly calls: Calls
  readonly publisher: EventPublisher
  /** Asks clients. */
  readonly requester: Requester
  protected readonly caller: RpcCaller
  /** What messages and questions know of the cluster. */
  protected readonly cluster: Pick<DescribedCluster, 'takes'>
  #closing: Promise<void> | undefined
  #reported: State = 'connecting'

  constructor(
    protected readonly backbone: Backbone,
    protected readonly emit: Emit,
    { local, responder, descriptions = NO_DESCRIPTIONS, bar = () => [] }: LocalParts = { local: NO_SPARKS }
  ) {
    const { settings, parser, stats, shards, gateway } = backbone
    const { timeout, maxQueue } = settings
    this.stats = stats
    this.shards = shards
    this.gateway = gateway
    this.local = local
    const cluster = (this.cluster = this.#cluster())
    this.forwarder = new Forwarder(local, gateway.sender, cluster, {
      timeout,
      parser,
      room: { messages: maxQueue.messages, bytes: maxQueue.total }
    })
    this.groupForwarder = new GroupForwarder(local, gateway.sender, cluster, { timeout, parser })
    this.caller = new RpcCaller(gateway, responder, () => shards.lives.address, maxQueue.messages)
    this.calls = new Calls(this.caller, cluster, timeout)
    this.publisher = new EventPublisher(this.caller, cluster, timeout)
    const requests = new ClientRequests(this.caller, cluster, { timeout, parser })
    this.localGroups = {
      of: id => (shards.sparks.owns(id) ? shards.groups.of(id) : undefined),
      sparks: group => shards.groups.sparks(group),
      user: id => shards.users.of(id),
      change: (how, ids, groups) => shards.groups.change(how, ids, groups)
    }
    this.groupChanges = new GroupChanges(this.caller, this.localGroups, cluster, timeout)
    this.groupLists = new GroupLists(this.caller, this.localGroups, cluster, timeout)
    this.presence = new PresenceHub(shards.presences, error => {
      emit('error', error)
    })
    const many = new ClientPolls(requests, this.groupLists, cluster, timeout)
    this.requester = {
      request: (id, msg, options) => requests.request(id, msg, options),
      requests: (to, msg, options) => many.ask(to, msg, options)
    }
    this.describer = new Describer(this.caller, descriptions, cluster)
    const barring: BarringCluster = {
      write: (users, ms) => shards.admissions.bar(users, ms),
      here: bar,
      peers: () => this.#peers(),
      takes: (address, kind) => cluster.takes(address, kind),
      endUsers: (users, reconnect) => this.forwarder.endUser(users, reconnect)
    }
    this.userBar = new UserBar(barring, this.caller, timeout)
    this.operator = new Operator(this.caller, gateway, cluster)
    backbone
      .on('joined', (address, life) => {
        emit('join', address, life)
      })
      .on('left', (address, why, life) => {
        emit('leave', address, why, life)
      })
      .on('peerLost', address => {
        this.caller.left(address)
      })
      .on('connectionBroken', address => {
        this.caller.broken(address)
      })
      .on('failed', error => {
        emit('error', error)
      })
      .on('changed', () => {
        this.refreshState()
      })
  }

  /** The state of the registries and of the transport together. From `close` on this is not ready any more. */
  get state(): State {
    if (this.closing) return 'connecting'
    const { state } = this.shards
    if (state !== 'ready' || this.gateway.trouble === undefined) return state
    return this.#reported === 'connecting' ? 'connecting' : 'degraded'
  }

  /** Whether `close` has been called. */
  get closing(): boolean {
    return this.#closing !== undefined
  }

  /** The number of open questions: of this process, and of others to it. */
  get open(): { asked: number; answering: number } {
    return { asked: this.caller.size, answering: 0 }
  }

  /** Open the transport. A server must not register before, because peers could not reach it. */
  async start(): Promise<void> {
    await this.gateway.open()
  }

  /** The ids of the sparks on a server. */
  async *sparksOn(address: string): AsyncGenerator<string, void, undefined> {
    if (address === this.shards.lives.address) {
      yield* this.shards.sparks.ids()
      return
    }
    yield* unrepeated(this.shards.peers.pages(address))
  }

  /** The groups that sparks of a server are in. */
  async *groupsOn(address: string): AsyncGenerator<string, void, undefined> {
    const { groups, lives } = this.shards
    yield* address === lives.address ? groups.all() : unrepeated(groups.pages(address))
  }

  /** How long an operation may take, in ms. */
  get timeout(): number {
    return this.backbone.settings.timeout
  }

  /** Leave the registry and close all connections that this process opened. Idempotent; takes at most `timeout`. */
  close(): Promise<void> {
    return (this.#closing ??= this.#close())
  }

  /** End the parts that only a server has, before it leaves the registry. */
  protected closeServer(): void {
    // A process that only asks has none.
  }

  /** Resolves when peers have received the last hints of this server. */
  protected get notified(): Promise<void> {
    return Promise.resolve()
  }

  /** Emit `state` when the state has changed. */
  protected refreshState(): void {
    const { state } = this
    if (state === this.#reported || this.closing) return
    this.#reported = state
    this.emit('state', state)
  }

  async #close(): Promise<void> {
    // Open questions fail at once, rather than at the end.
    const dropped = this.caller.close()
    this.presence.close()
    this.closeServer()
    await this.shards.close()
    await within(FAREWELL, Promise.all([dropped, this.notified]))
    await this.gateway.close()
    const { ownRedis, redis } = this.backbone.settings
    if (ownRedis) (redis as unknown as { disconnect(): void }).disconnect()
  }

  async #peers(ms?: number): Promise<string[]> {
    if (this.closing) throw closed()
    return this.shards.peers.currentOrKnown(ms)
  }

  async #serversOf(groups: readonly string[], ms: number): Promise<string[][]> {
    if (this.closing) throw closed()
    const found = await this.shards.groups.peers(groups, ms)
    return found.map(servers => servers.map(([address]) => address))
  }

  /** What messages and questions need to know of the cluster. */
  #cluster(): ForwarderCluster & KnownServers & SparkLocator & GroupLocator & GroupCluster & DescribedCluster {
    const { shards, gateway } = this
    const { locator } = shards
    const takes = (address: string, kind: string): boolean => {
      const kinds = shards.peers.description(address)?.kinds
      return kinds === undefined || kinds.split(' ').includes(kind)
    }
    return {
      get self() {
        return shards.lives.address
      },
      get own() {
        return shards.lives.address || shards.lives.wanted
      },
      owns: id => shards.sparks.owns(id),
      recent: id => locator.recent(id),
      places: (ids, fresh) => locator.placesFor(ids, fresh),
      peers: (ms?: number) => this.#peers(ms),
      sparksOn: address => this.sparksOn(address),
      ownOf: user => shards.users.own(user),
      sparksOf: users => shards.users.find(users),
      sparksIn: group => shards.groups.sparks(group),
      reaches: groups => shards.groups.reachable(groups),
      serversOf: (groups, ms) => this.#serversOf(groups, ms),
      takes,
      knowsGroups: address => takes(address, 'group'),
      forwarded: (result, ms) => {
        this.stats.forwarded(result, ms)
      },
      // An application that reads omega-supreme's requests by itself may not know `except` either.
      knowsExcept: address => !gateway.omegaOnly && shards.peers.life(address) !== ''
    }
  }
}

function closed(): MetroplexError {
  return new MetroplexError('ECLOSED', 'metroplex was closed in this process: it sends no more messages.')
}

/** The items of all pages, each once: pages of Redis may repeat items. */
async function* unrepeated(pages: AsyncIterable<readonly string[]>): AsyncGenerator<string, void, undefined> {
  const seen = new Set<string>()
  for await (const page of pages) {
    for (const item of page) {
      if (seen.has(item)) continue
      seen.add(item)
      yield item
    }
  }
}

/** Wait for a promise, but for at most `ms`. */
export async function within(ms: number, promise: Promise<unknown>): Promise<void> {
  const settled = new AbortController()
  await Promise.race([
    promise.catch(ignore).finally(() => {
      settled.abort()
    }),
    delay(ms, settled.signal)
  ])
}
