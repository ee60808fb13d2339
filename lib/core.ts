import { crash } from './callback'
import { Answers } from './cluster/answers'
import { Calls } from './cluster/calls'
import { Drain } from './cluster/drain'
import { Events } from './cluster/events'
import { Gate } from './cluster/gate'
import { Notices, type News } from './cluster/notices'
import { Questions } from './cluster/questions'
import { Requests } from './cluster/requests'
import { pause } from './deadline'
import { Forwarder } from './delivery/forward'
import { Local, type Here, type LocalPrimus } from './delivery/local'
import { Replies } from './delivery/replies'
import { MetroplexError } from './errors'
import { Check } from './membership/check'
import { Shards } from './membership/shards'
import { Whereabouts } from './membership/whereabouts'
import type { Settings } from './options'
import { namespaces } from './registry/sharding'
import type { MetroplexEvents, State } from './reports'
import { Stats } from './stats'
import { Post, type PostCluster } from './transport/post'
import { VERSION as LANGUAGE } from './transport/signature'
import type { Primus, Result, Spark } from './types'
import { VERSION } from './version'

/** What happens between servers, by the name of its counter. */
const COUNTED = { batch: 'batches', repeated: 'repeated', refused: 'refused', retried: 'retried' } as const

/** For how long, at the most, peers are told that we leave, in ms: they hear of it by their next beat as well. */
const FAREWELL = 250

/** What is told of what happens in the background. */
export type Tell = <E extends keyof MetroplexEvents>(event: E, ...args: Parameters<MetroplexEvents[E]>) => void

/**
 * All that works for one server, or for a process that only asks: makes every part, introduces them to each other, and has the order in which they start and end.
 */
export class Core {
  readonly stats = new Stats()
  readonly shards: Shards
  readonly whereabouts: Whereabouts
  readonly post: Post
  readonly check: Check
  readonly local: Here
  readonly forwarder: Forwarder
  readonly calls: Calls
  readonly events: Events
  readonly requests: Requests
  readonly replies: Replies
  readonly notices: Notices
  readonly drain: Drain
  readonly gate: Gate
  readonly #questions: Questions
  readonly #answers: Answers
  /** Resolves when peers have been told what we told them last. */
  #notified: Promise<void> = Promise.resolve()
  #closing: Promise<void> | undefined

  /** @param parser the option of Primus, by which clients and servers speak with each other */
  constructor(readonly settings: Settings, readonly primus: Partial<Primus> | undefined, parser: unknown, tell: Tell) {
    const { stats } = this
    const { timeout, maxQueue } = settings
    this.shards = new Shards({ ...settings, description: () => this.#description(), ask: address => this.post.ask(address) }, stats, {
      registered: address => {
        tell('register', address)
        this.#notify('join')
      },
      unregistered: address => {
        tell('unregister', address)
        this.#notify('leave')
      },
      buried: () => { this.#notify('leave') },
      joined: (address, life) => { tell('join', address, life) },
      left: (address, why, life) => {
        this.post.gone(address)
        this.#questions.left(address)
        this.#answers.left(address)
        tell('leave', address, why, life)
      },
      healed: sparks => { tell('heal', { sparks }) },
      reap: (address, sparks) => { tell('reap', address, sparks) },
      failed: error => { tell('error', error) },
      changed: state => { if (!this.drain.active) tell('state', state) }
    })
    this.whereabouts = new Whereabouts(this.shards, settings)
    const post = this.post = new Post(settings, (primus ?? {}) as Primus, this.#surroundings(), {
      told: what => { stats.count(COUNTED[what]) },
      lost: word => { this.#answers.lost(word) },
      broken: address => { this.#questions.broken(address) },
      failed: error => { tell('error', error) }
    })
    this.check = new Check(this.shards, address => post.addressed ? post.ask(address) : Promise.resolve('self'), () => this.state)

    this.local = this.#receiver(primus)
    const { shards } = this
    const own = (): string => shards.address || shards.wanted
    const cluster = {
      get self() { return shards.address },
      get own() { return own() },
      primus: primus as Primus | undefined,
      owns: (id: string) => this.shards.owns(id),
      spark: (id: string) => this.shards.owns(id) ? primus?.spark?.(id) : undefined,
      recent: (id: string) => this.whereabouts.recent(id),
      places: (ids: readonly string[], fresh: boolean) => this.whereabouts.last(ids, fresh),
      peers: (ms?: number) => this.#peers(ms),
      sparksOn: (address: string) => this.sparksOn(address),
      ownOf: (user: string) => this.shards.users.own(user),
      sparksOf: (users: readonly string[]) => this.shards.users.find(users),
      forwarded: (result: Result, ms: number) => { this.#forwarded(result, ms) },
      // The application's own reading of a request need not know it either.
      knowsExcept: (address: string) => !post.foreign && this.shards.peers.life(address) !== ''
    }
    const binary = carriesBinary(parser)
    this.forwarder = new Forwarder(this.local, post.courier, cluster, { timeout, binary, room: { messages: maxQueue.messages, bytes: maxQueue.total } })

    const answers = this.#answers = new Answers(post, maxQueue, own)
    const questions = this.#questions = new Questions(post, answers, () => shards.address, maxQueue.messages)
    this.calls = new Calls(questions, answers, cluster, timeout)
    this.events = new Events(questions, answers, cluster, timeout)
    this.replies = new Replies({ spark: cluster.spark, transformers: primus?.transformers ?? { incoming: [] } }, this.local, binary)
    this.requests = new Requests(questions, answers, cluster, this.replies, { timeout, binary })
    this.notices = new Notices(post, {
      peers: () => this.shards.peers.addresses,
      moved: () => { this.shards.look() },
      drains: address => {
        const life = this.shards.peers.life(address)
        if (life !== undefined) tell('drain', address, life)
      }
    })

    const gate = this.gate = new Gate(primus ?? {})
    const sparks = (): Spark[] => sparksOf(primus)
    this.drain = new Drain({
      sparks,
      began: () => {
        gate.shut(sparks())
        tell('state', 'draining')
        tell('drain', this.shards.address, this.shards.id)
        this.#notify('drain')
      },
      emptied: () => this.shards.unregister(),
      lifted: () => {
        gate.open()
        tell('state', this.shards.state)
      },
      failed: error => { tell('error', error) }
    })
  }

  /** How we stand. */
  get state(): State {
    return this.drain.active ? 'draining' : this.shards.state
  }

  /** Whether it has been closed. */
  get closing(): boolean {
    return this.#closing !== undefined
  }

  /** How many questions of ours are open, and how many of others. */
  get open(): { asked: number; answering: number } {
    return { asked: this.#questions.size, answering: this.#answers.size }
  }

  /** Begin to answer peers. Nobody is to find us before. */
  async start(): Promise<void> {
    await this.post.open()
  }

  /** The ids of the sparks on a server. */
  async *sparksOn(address: string): AsyncGenerator<string, void, undefined> {
    if (address === this.shards.address) {
      yield* this.shards.ids()
      return
    }
    const seen = new Set<string>()
    for await (const page of this.shards.peers.pages(address)) {
      for (const id of page) {
        if (seen.has(id)) continue
        seen.add(id)
        yield id
      }
    }
  }

  /** Leave the registry and close what we opened; harmless when called twice. Takes at most the deadline, Redis or no Redis. */
  close(): Promise<void> {
    return this.#closing ??= this.#close()
  }

  async #close(): Promise<void> {
    this.check.end()
    this.drain.close()
    // Who asks, and who was asked, must not wait until the end.
    const dropped = this.#questions.close()
    this.#answers.close()
    this.replies.close()
    await this.shards.close()
    const told = new AbortController()
    await Promise.race([Promise.all([dropped, this.#notified]).finally(() => { told.abort() }), pause(FAREWELL, told.signal)])
    await this.post.close()
    if (this.settings.ownRedis) (this.settings.redis as unknown as { disconnect(): void }).disconnect()
  }

  /** Peers are to know it at once. */
  #notify(news: News): void {
    this.#notified = this.notices.tell(news)
    this.#notified.catch(crash)
  }

  async #peers(ms?: number): Promise<string[]> {
    if (this.closing) throw new MetroplexError('ECLOSED', 'This server has been destroyed: it sends no more.')
    return this.whereabouts.peers(ms)
  }

  /** What writes to the sparks of this process; where there is no Primus, there are none. */
  #receiver(primus: Partial<Primus> | undefined): Here {
    if (primus?.forEach === undefined) return NOBODY
    const local = new Local(primus as LocalPrimus, id => this.shards.owns(id), {
      maxBuffered: this.settings.maxBuffered,
      ended: () => { this.stats.count('ended') }
    })
    this.post.handle(local, work => local.together(work))
    return local
  }

  #forwarded({ send, missing, failed }: Result, ms: number): void {
    const { stats } = this
    stats.count('forwards')
    stats.count('delivered', send)
    stats.count('missing', missing?.length ?? 0)
    stats.count('failed', failed?.length ?? 0)
    stats.took('forward', ms)
  }

  get #pathname(): string {
    return this.primus?.pathname ?? '/primus'
  }

  #description(): ReturnType<ConstructorParameters<typeof Shards>[0]['description']> {
    return { name: this.settings.name, version: VERSION, protocol: LANGUAGE, pathname: this.#pathname, transport: this.post.name, word: this.post.word, kinds: this.post.kinds }
  }

  /** What our end of the transport asks of the cluster. */
  #surroundings(): PostCluster {
    const { namespace, shards: number, secrets } = this.settings
    const { shards } = this
    const pathname = (): string => this.#pathname
    return {
      namespace,
      first: namespaces(namespace, number)[0] ?? namespace,
      get address() { return shards.address },
      get pathname() { return pathname() },
      get secrets() { return secrets.length > 0 ? secrets : shards.secret === '' ? [] : [shards.secret] },
      refresh: () => shards.agree(),
      find: to => shards.peers.description(to) ?? (shards.peers.life(to) === '' ? 'old' : undefined),
      addressOf: word => shards.peers.addressOf(word),
      look: () => shards.peers.current(),
      superseded: to => shards.superseded(to),
      alive: to => shards.alive(to)
    }
  }
}

/** The sparks of a Primus; where there is none, there are none. */
function sparksOf(primus: Partial<Primus> | undefined): Spark[] {
  const sparks: Spark[] = []
  primus?.forEach?.(spark => { sparks.push(spark) })
  return sparks
}

/** Whether a parser carries binary: all but JSON are taken to. */
function carriesBinary(parser: unknown): boolean {
  return parser !== undefined && !(typeof parser === 'string' && parser.toLowerCase() === 'json')
}

const NOBODY: Here = {
  some: ids => ({ send: 0, missing: [...ids] }),
  all: () => ({ send: 0, missing: [] })
}
