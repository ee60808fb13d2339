import { ignore, rethrow } from '../common/callback'
import { Message } from '../common/encoded-message'
import { inspectValue, MetroplexError } from '../common/errors'
import type { Settings } from '../common/options'
import type { Parser } from '../common/parser'
import type { Primus, Spark } from '../common/types'
import { ClientReplies } from '../delivery/client-replies'
import { sparksOf } from '../delivery/local'
import { answerDescribe, DESCRIBE } from '../descriptions/describe-questions'
import type { LocalDescriptions } from '../descriptions/local-descriptions'
import { DelayedLeave } from '../drain/delayed-leave'
import { Drain } from '../drain/drain'
import { Gate } from '../drain/gate'
import { answerGroupQuestions } from '../groups/group-questions'
import { answerLimitQuestions, BAR, HOLDS, OVER, type EndedUser, type LimitedSparks } from '../limits/limit-questions'
import { BarredUsers } from '../limits/barred-users'
import { UserLimits } from '../limits/user-limits'
import { answerOperators, OPERATE } from '../operations/operator-questions'
import type { RefusalReason, State, Statistics } from '../reporting/types'
import { serveClientRequests } from '../rpc/client-requests'
import { MembershipHints, type Hint } from '../rpc/membership-hints'
import { Methods } from '../rpc/methods'
import { RpcResponder } from '../rpc/responder'
import { Subscriptions } from '../rpc/subscriptions'
import type { HealthCheck } from '../health/health-check'
import { period } from '../shards/shard'
import { Backbone } from './backbone'
import { Balancing } from './balancing'
import { Core, FAREWELL, within, type Emit } from './core'
import { openDescriptions, openLocal } from './local-parts'
import { openHealthCheck } from './own-health'

/**
 * What a server adds to a process that only asks: it registers, answers peers, holds sparks, drains and has a health.
 */
export class ServerCore extends Core {
  readonly healthCheck: HealthCheck
  readonly methods: Methods
  readonly subscriptions: Subscriptions
  readonly clientReplies: ClientReplies
  readonly descriptions: LocalDescriptions
  readonly drain: Drain
  readonly gate: Gate
  readonly departure = new DelayedLeave(() => this.shards.lives.unregister())
  /** Absent without the option `limit`. */
  readonly limits: UserLimits | undefined
  readonly balance: Balancing
  /** Whether the HTTP server that clients connect to was closed and does not listen again. */
  closed = false
  /** The tag in the ids of our sparks; `''` while they have none. Set before this server registers. */
  tag = (): string => ''
  /** Called with the id of each spark that ends, while its groups are still known. */
  readonly ending = new Set<(id: string) => void>()
  readonly #responder: RpcResponder
  readonly #hints: MembershipHints
  readonly #barred: BarredUsers
  /** Finds an own spark. */
  readonly #spark: (id: string) => Spark | undefined
  /** Resolves when peers have received the last hint. */
  #notified: Promise<void> = Promise.resolve()

  /** @param parser the parser that clients and servers of this Primus share */
  constructor(settings: Settings, primus: Partial<Primus> | undefined, parser: Parser, emit: Emit) {
    const drains = (): boolean => this.drain.active
    const backbone = new Backbone(settings, parser, { primus, tag: () => this.tag(), drains })
    const { shards, gateway } = backbone
    const ownAddress = (): string => shards.lives.address || shards.lives.wanted
    // Primus does not find a spark whose id the application has changed or repeated; the table of local sparks does.
    // Objects that an application has entered itself are listed there, but never written to.
    const spark = (id: string): Spark | undefined => {
      if (!shards.sparks.owns(id)) return undefined
      const prototype = primus?.Spark?.prototype
      return primus?.spark?.(id) ?? (prototype === undefined ? undefined : shards.sparks.spark(id, prototype))
    }
    const local = openLocal(backbone, primus, spark)
    const responder = new RpcResponder(gateway, settings.maxQueue, ownAddress)
    const descriptions = openDescriptions(backbone, primus)
    const bar: LimitedSparks['bar'] = (users, ms, reconnect) => this.#bar(users, ms, reconnect)
    super(backbone, emit, { local, responder, descriptions, bar })

    this.#responder = responder
    this.methods = new Methods(responder, { ownAddress, spark, primus: primus as Primus | undefined }, this.stats)
    this.subscriptions = new Subscriptions(responder, ownAddress)
    this.clientReplies = new ClientReplies(
      { spark, transformers: primus?.transformers ?? { incoming: [] } },
      local,
      parser
    )
    serveClientRequests(responder, this.clientReplies)
    answerGroupQuestions(responder, this.localGroups)
    this.descriptions = descriptions
    answerDescribe(responder, descriptions)
    gateway.announce(DESCRIBE)
    const limited: LimitedSparks = {
      owns: id => shards.sparks.owns(id),
      end: (id, user) => {
        if (shards.users.of(id) === user) this.#refuse(id, user, 'limit')
      },
      bar
    }
    this.#spark = spark
    answerLimitQuestions(responder, limited)
    gateway.announce(HOLDS)
    gateway.announce(OVER)
    gateway.announce(BAR)
    this.limits = this.#openLimits(limited)
    this.#barred = new BarredUsers(shards.admissions, ([user, ms]) => {
      this.#bar([user], ms, false)
    })
    this.#hints = this.#openHints()
    this.healthCheck = openHealthCheck(this)
    this.gate = new Gate(primus ?? {})
    this.drain = this.#openDrain(() => sparksOf(primus))
    this.balance = new Balancing(this, backbone, () => sparksOf(primus), emit)
    backbone
      .on('registered', address => {
        emit('register', address)
        this.#barred.open(settings.lease)
        this.#notify('join')
      })
      .on('unregistered', address => {
        emit('unregister', address)
        this.#notify('leave')
      })
      .on('buried', () => {
        this.#notify('leave')
      })
      .on('settled', () => {
        this.#notify('join')
      })
      .on('healed', sparks => {
        this.limits?.repaired()
        this.#barred.repaired()
        emit('heal', { sparks })
      })
      .on('reap', (address, sparks) => {
        emit('reap', address, sparks)
      })
      .on('peerLost', address => {
        responder.left(address)
      })
      .on('processLost', nodeId => {
        responder.lost(nodeId)
      })
  }

  /** The settings of this server. */
  get settings(): Settings {
    return this.backbone.settings
  }

  /** The time between two beats, in ms. */
  get beats(): number {
    return period(this.settings)
  }

  override get state(): State {
    return this.drain.active ? 'draining' : super.state
  }

  override get open(): { asked: number; answering: number } {
    return { ...super.open, answering: this.#responder.size }
  }

  /** Answer questions of operators. Before this server registers. @param stats the statistics of this server */
  answerOperators(stats: () => Statistics): void {
    answerOperators(this.#responder, this, stats)
    this.gateway.announce(OPERATE)
  }

  /** A spark has ended: every part that waits for it or lists it learns of it here. */
  disconnected(id: string, spark: Spark): void {
    for (const listener of this.ending) listener(id)
    this.clientReplies.disconnected(spark)
    this.shards.sparks.disconnect(id, spark)
    // Another spark with this id may still have the user.
    if (this.shards.users.of(id) === undefined) this.limits?.forget(id)
    this.drain.disconnected(spark)
    this.balance.disconnected(spark)
  }

  /**
   * Set the user of a spark of this server; `undefined` removes it. With the option `limit` it resolves when the spark
   * stays.
   */
  async identify(id: string, user: string | undefined): Promise<void> {
    const write = (): Promise<void> => this.shards.users.identify(id, user)
    const left = user === undefined || !this.shards.sparks.owns(id) ? 0 : this.#barred.left(user)
    if (left === 0) return this.limits === undefined ? write() : this.limits.named(id, user, write)
    this.#refuse(id, String(user), 'barred')
    throw new MetroplexError(
      'EBARRED',
      `The user ${inspectValue(user)} is kept out for ${left} ms more: the spark ${inspectValue(id)} is ended.`
    )
  }

  /** Keep users out. @returns the users whose sparks were ended */
  #bar(users: readonly string[], ms: number, reconnect: boolean): EndedUser[] {
    this.#barred.bar(users, ms)
    if (ms === 0) return []
    return users
      .map((user): EndedUser => [user, this.local.some(this.shards.users.own(user), Message.ending(reconnect)).send])
      .filter(([, sparks]) => sparks > 0)
  }

  protected override get notified(): Promise<void> {
    return this.#notified
  }

  protected override closeServer(): void {
    this.healthCheck.end()
    this.limits?.close()
    this.#barred.close()
    this.drain.close()
    this.balance.close()
    this.#responder.close()
    this.clientReplies.close()
  }

  #openLimits(local: LimitedSparks): UserLimits | undefined {
    const { shards, settings, forwarder, caller, cluster: known } = this
    if (settings.limit === undefined) return undefined
    const cluster = {
      get own() {
        return shards.lives.address
      },
      get open() {
        return shards.admissions.open
      },
      takes: (address: string, kind: string) => known.takes(address, kind),
      knows: (address: string) => shards.peers.life(address) !== undefined,
      catchUp: () => shards.catchUp(),
      decide: shards.admissions.decide.bind(shards.admissions),
      user: (id: string) => shards.users.of(id),
      failed: (error: Error) => {
        this.emit('error', error)
      },
      endAt: (ids: readonly string[]) => forwarder.end(ids, false)
    }
    return new UserLimits(settings.limit, cluster, caller, local, settings.timeout)
  }

  /** End a spark because of its user. */
  #refuse(id: string, user: string, why: RefusalReason): void {
    const spark = this.#spark(id)
    if (spark !== undefined) this.emit('refused', spark, user, why)
    this.local.some([id], Message.ending(false))
  }

  #openHints(): MembershipHints {
    const { shards } = this
    return new MembershipHints(this.gateway, {
      peers: () => shards.peers.addresses,
      current: () => shards.peers.currentOrKnown(),
      moved: () => {
        shards.look()
      },
      drains: address => {
        // A peer that has joined since our last beat is not known yet.
        if (!this.#drains(address()))
          shards
            .catchUp()
            .then(() => this.#drains(address()), ignore)
            .catch(rethrow)
      }
    })
  }

  /** A peer has begun to drain. @returns whether it is known */
  #drains(address: string): boolean {
    const life = this.shards.peers.life(address)
    if (life !== undefined) this.emit('drain', address, life)
    return life !== undefined
  }

  #openDrain(sparks: () => Spark[]): Drain {
    return new Drain({
      sparks,
      began: () => {
        this.balance.stop('draining')
        this.gate.shut(sparks())
        this.shards.lives.drains(true)
        this.refreshState()
        this.emit('drain', this.shards.lives.address, this.shards.lives.id)
        this.#notify('drain')
      },
      emptied: () => this.#leave(),
      lifted: () => {
        this.departure.cancel()
        this.gate.open()
        this.shards.lives.drains(false)
        this.refreshState()
      },
      failed: error => {
        this.emit('error', error)
      }
    })
  }

  /** Leave the registry after the last spark, and end the streams of peers, for which a closed HTTP server waits. */
  #leave(): Promise<unknown> {
    const left = this.departure.after(within(FAREWELL, this.#notified))
    if (this.closed) {
      // A peer that receives the hint ends its stream by itself. Without Redis or an answer, the wait is bounded.
      const told = left.then(() => this.#notified)
      within(FAREWELL, told)
        .then(() => {
          this.gateway.release()
        })
        .catch(rethrow)
    }
    return left
  }

  /** Send peers a hint, so that they need not wait for their next beat. */
  #notify(hint: Hint): void {
    this.#notified = this.#hints.send(hint)
    this.#notified.catch(rethrow)
  }
}
