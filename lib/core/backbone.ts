import { EventEmitter } from 'eventemitter3'
import type { Settings } from '../common/options'
import type { Parser } from '../common/parser'
import type { Primus } from '../common/types'
import { VERSION } from '../reporting/version'
import { namespaces } from '../registry/sharding'
import type { Description } from '../registry/records'
import type { Farewell } from '../reporting/types'
import { Stats } from '../reporting/stats'
import { network } from '../health/network-id'
import type { ShardsEvents } from '../shards/shard'
import { Shards } from '../shards/shards'
import { Gateway, type GatewayCluster } from '../transport/gateway'
import { WIRE_VERSION } from '../transport/signature'

/** What happens in the registries and on the transport. */
export interface BackboneEvents {
  /** This server is registered. */
  registered(address: string): void
  /** This server has left the registry, or removed another one. */
  unregistered(address: string): void
  /** This server has found another one dead; its peers do not know it yet. */
  buried(): void
  /** Which life has this address is final; peers do not know it yet. */
  settled(): void
  /** A heal has corrected this many entries. */
  healed(sparks: number): void
  /** This server is about to remove entries of a dead one. */
  reap(address: string, sparks: string[]): void
  joined(address: string, life: string): void
  left(address: string, why: Farewell, life: string): void
  /** The process at the address of a peer has ended. */
  peerLost(address: string): void
  /** A process without an address is no longer connected; by its node id. */
  processLost(nodeId: string): void
  /** The connection to a peer was interrupted. */
  connectionBroken(address: string): void
  /** A task in the background failed. */
  failed(error: Error): void
  /** The state of the registries or of the transport has changed. */
  changed(): void
}

/** What a server adds; a process that only asks has none of it. */
export interface BackboneServer {
  readonly primus: Partial<Primus> | undefined
  /** The tag in the ids of its sparks; `''` while they have none. */
  readonly tag: () => string
  /** Whether it drains. */
  readonly drains: () => boolean
}

/** Counters of what happens on the transport. */
const COUNTERS = { batch: 'batches', repeated: 'repeated', refused: 'refused', retried: 'retried' } as const

/** What every process of a cluster stands on: the registries, and the transport between servers. */
export class Backbone extends EventEmitter<BackboneEvents> {
  readonly stats = new Stats()
  readonly shards: Shards
  readonly gateway: Gateway

  /** @param server absent for a process that only asks */
  constructor(
    readonly settings: Settings,
    readonly parser: Parser,
    private readonly server?: BackboneServer
  ) {
    super()
    const serving = {
      description: () => this.#description(),
      tag: () => this.#tag,
      ask: (address: string, pathname: string) => this.gateway.probeHolder(address, pathname)
    }
    this.shards = new Shards(
      { ...settings, server: server === undefined ? undefined : serving },
      this.stats,
      this.#shardsEvents()
    )
    this.gateway = new Gateway(settings, server?.primus, parser, this.#gatewayCluster(), {
      counted: event => {
        this.stats.count(COUNTERS[event])
      },
      returnPathLost: nodeId => this.emit('processLost', nodeId),
      broken: address => this.emit('connectionBroken', address),
      failed: error => this.emit('failed', error),
      changed: () => this.emit('changed')
    })
  }

  #shardsEvents(): ShardsEvents {
    return {
      registered: address => this.emit('registered', address),
      unregistered: address => this.emit('unregistered', address),
      buried: () => this.emit('buried'),
      settled: () => this.emit('settled'),
      joined: (address, life) => this.emit('joined', address, life),
      replaced: address => {
        this.#peerLost(address)
      },
      left: (address, why, life, replaced) => {
        if (!replaced) this.#peerLost(address, why === 'shutdown')
        this.emit('left', address, why, life)
      },
      healed: sparks => this.emit('healed', sparks),
      reap: (address, sparks) => this.emit('reap', address, sparks),
      failed: error => this.emit('failed', error),
      changed: () => this.emit('changed')
    }
  }

  /** @param answers whether the process said itself that it leaves, and may still answer */
  #peerLost(address: string, answers = false): void {
    this.gateway.peerLeft(address, answers)
    this.emit('peerLost', address)
  }

  get #tag(): string {
    return this.server?.tag() ?? ''
  }

  get #pathname(): string {
    return this.server?.primus?.pathname ?? '/primus'
  }

  #description(): Description {
    const { name, nodeId, kinds } = this.gateway
    return {
      name: this.settings.name,
      version: VERSION,
      protocol: WIRE_VERSION,
      pathname: this.#pathname,
      transport: name,
      word: nodeId,
      kinds,
      network: network(),
      tag: this.#tag,
      drains: this.server?.drains() === true ? '1' : ''
    }
  }

  #gatewayCluster(): GatewayCluster {
    const { namespace, shards: number, secrets } = this.settings
    const { shards } = this
    const pathname = (): string => this.#pathname
    return {
      namespace,
      first: namespaces(namespace, number)[0] ?? namespace,
      get address() {
        return shards.lives.address
      },
      get awaitedAddress() {
        return shards.lives.awaited
      },
      get pathname() {
        return pathname()
      },
      get secrets() {
        return secrets.length > 0 ? secrets : shards.secret === '' ? [] : [shards.secret]
      },
      refresh: () => shards.agree(),
      find: to => shards.peers.description(to) ?? (shards.peers.life(to) === '' ? 'old' : undefined),
      addressOf: nodeId => shards.peers.addressOf(nodeId),
      refreshPeers: () => shards.peers.current(),
      superseded: to => shards.superseded(to),
      alive: to => shards.alive(to)
    }
  }
}
