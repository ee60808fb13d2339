import { deferred, delay, now } from '../common/async'
import { asError, MetroplexError } from '../common/errors'
import type { Balanced, BalanceStop, BalanceTerms, Spark } from '../common/types'
import { RateLimiter } from './rate-limiter'
import { Returns, STRAIGHT, traceOf } from './returns'

/** What a balance uses of its server. */
export interface BalancedServer {
  /** How many sparks this server has. */
  readonly size: number
  /** Our sparks, youngest first, as many as are asked for. */
  youngest(count: number): Spark[]
  /** Whether a spark is still connected here. */
  holds(spark: Spark): boolean
  /** Why this server must keep its sparks now, as far as it knows without asking. */
  obstacle(): BalanceStop | undefined
  /** How many sparks the other servers have together, and how many there are. Asks Redis. */
  others(): Promise<{ sparks: number; peers: number }>
  /** Why a peer makes this server keep its sparks. Asks Redis. */
  unsettled(): Promise<BalanceStop | undefined>
  /** A balance that has ended sparks is over. */
  done(balanced: Balanced): void
  /** An error, after which the balance continues; or most clients came straight back. */
  failed(error: Error): void
}

/** How long a look at the numbers of sparks is used, in ms. */
const LOOK = 500

/** How often the numbers are looked at before the first spark is ended: clients may be on their way. */
const LOOKS = 2

/** How many sparks are ended before the fate of their clients is awaited; then twice as many, and so on. */
const PROBE = 16

/**
 * More clients than that, and than so many times the first excess and the number of servers, were let go in vain.
 * When all servers but one are above their targets, each client is let go as often as there are servers.
 */
const [LEAST_VAIN, VAIN] = [100, 3]

/** One run of a balance, which all callers of that time share. */
interface Run {
  terms: BalanceTerms
  readonly end: ReturnType<typeof deferred<Balanced>>
  readonly over: AbortController
  ended: number
  returned: number
  /** The most sparks that this server may keep, as last seen; `null` until that is known. */
  target: number | null
  /** How many sparks the cluster has, as last seen, and at most in this run: the difference is on its way. */
  total: number
  most: number
  servers: number
  /** How often the numbers were seen. */
  looks: number
  /** When the numbers were seen last, and when a spark was ended last. */
  lookedAt: number
  endedAt: number
  /** How far this server was above its target at first. */
  excess: number
  /** How many sparks may be ended before the next wait, and how many there were after the last one. */
  stage: number
  stages: number
  /** The sparks to end next, the youngest last. */
  next: Spark[]
}

/**
 * Evens out the sparks of the cluster: ends those that this server has above the mean of the live servers and a
 * tolerance, youngest first, at a limited rate, and asks their clients to reconnect.
 *
 * A run looks at fresh numbers as it goes. Clients on their way are in no number, which makes the mean look lower than
 * it is. So the target of a run never falls, and servers that balance at once stay above the mean.
 *
 * The first few sparks are a probe: the run waits until their clients are somewhere. When most come straight back, a
 * balancer sends them, and more would be let go in vain.
 *
 * @example
 * const { ended, target, stopped } = await balance.run({ tolerance: 0.1, rate: 50 })
 */
export class Balance {
  readonly #limiter = new RateLimiter()
  readonly #returns = new Returns()
  /** Sparks that were ended and are not disconnected yet. */
  readonly #ending = new Set<Spark>()
  #run: Run | undefined
  #changedAt = now()
  #warning = ''
  #last: Balanced | undefined

  constructor(
    private readonly server: BalancedServer,
    /** For how long no server may have joined or left, in ms. */
    private readonly quiet: number,
    /** How long a look at the numbers of sparks is used, in ms. */
    private readonly fresh = LOOK
  ) {}

  /** Why this server no longer evens out its sparks by itself, in a sentence; `''` while it does. */
  get warning(): string {
    return this.#warning
  }

  /** Whether a run goes on. */
  get active(): boolean {
    return this.#run !== undefined
  }

  /** What the last run has done; `undefined` before its end. */
  get last(): Balanced | undefined {
    return this.#last
  }

  /** Begin to balance, or go on with other terms. */
  run(terms: BalanceTerms): Promise<Balanced> {
    const current = this.#run
    this.#limiter.begin(terms.rate, now())
    if (current !== undefined) {
      current.terms = terms
      current.target = null
      current.lookedAt = -Infinity
      return current.end.promise
    }
    this.#last = undefined
    const run: Run = (this.#run = {
      terms,
      end: deferred<Balanced>(),
      over: new AbortController(),
      ended: 0,
      returned: 0,
      target: null,
      total: 0,
      most: 0,
      servers: 1,
      looks: 0,
      lookedAt: -Infinity,
      endedAt: -Infinity,
      excess: 0,
      stage: 0,
      stages: PROBE / 2,
      next: []
    })
    this.#goOn(run).catch((error: unknown) => {
      this.server.failed(asError(error))
      this.#settle(run, 'degraded')
    })
    return run.end.promise
  }

  /** A spark has connected. */
  connected(spark: Spark): void {
    if (this.#returns.expected && this.#returns.arrived(spark, now()) && this.#run !== undefined) this.#run.returned++
  }

  /** A spark has disconnected. */
  disconnected(spark: Spark): void {
    this.#ending.delete(spark)
  }

  /** A server has joined or left: what was seen before says nothing any more. */
  changed(): void {
    this.#changedAt = now()
    this.#returns.forget()
    this.#warning = ''
    this.stop('membership')
  }

  /** End no more sparks, and resolve the current run. */
  stop(why: BalanceStop): void {
    if (this.#run !== undefined) this.#settle(this.#run, why)
  }

  get #size(): number {
    return this.server.size - this.#ending.size
  }

  get #obstacle(): BalanceStop | undefined {
    return this.server.obstacle() ?? (now() - this.#changedAt < this.quiet ? 'membership' : undefined)
  }

  /** How far this server is above its target. */
  #above({ target }: Run): number {
    return target === null ? 0 : this.#size - target
  }

  async #goOn(run: Run): Promise<void> {
    while (this.#run === run) {
      const pause = await this.#step(run)
      await delay(pause, run.over.signal)
    }
  }

  /** One step of a run. @returns how long to wait before the next one, in ms */
  async #step(run: Run): Promise<number> {
    const obstacle = this.#obstacle
    if (obstacle !== undefined) return this.#settle(run, obstacle)
    if (now() - run.lookedAt >= this.fresh) {
      const found = await this.#look(run)
      if (this.#run !== run) return 0
      if (found !== undefined) return this.#settle(run, found)
    }
    if (this.#isSticky(run)) return this.#sticky(run)
    const above = this.#above(run)
    if (above > 0 && run.stage > 0) return this.#endDue(run)
    if (!this.#arrived(run)) return this.fresh
    if (above <= 0) return this.#settle(run)
    if (run.looks < LOOKS) return this.fresh
    run.stages *= 2
    // Half of the way: a server that balances at the same time has clients on their way, which no number shows.
    run.stage = Math.min(run.stages, Math.ceil(above / 2))
    run.next = this.server.youngest(run.stage).reverse()
    // An application may have entered objects that are no sparks of Primus.
    if (run.next.length === 0) return this.#settle(run)
    return this.#endDue(run)
  }

  /** See the numbers of the cluster. @returns why this server must keep its sparks */
  async #look(run: Run): Promise<BalanceStop | undefined> {
    const { server } = this
    try {
      const { sparks, peers } = await server.others()
      run.lookedAt = now()
      run.looks++
      run.servers = peers + 1
      run.total = sparks + this.#size
      run.most = Math.max(run.most, run.total)
      // A share such as 0.1 is not exact: 10 × 1.1 is more than 11.
      const target = Math.ceil((run.total / run.servers) * (1 + run.terms.tolerance) - 1e-9)
      run.target = Math.max(run.target ?? 0, target)
      const above = this.#above(run)
      run.excess ||= Math.max(0, above)
      return above > 0 ? await server.unsettled() : undefined
    } catch {
      // The connection has reported it.
      return 'degraded'
    }
  }

  /** Whether the clients that were let go are on a server again, or have had the time for it. */
  #arrived({ total, most, endedAt, lookedAt }: Run): boolean {
    return endedAt === -Infinity || now() - endedAt >= STRAIGHT || (lookedAt > endedAt && total >= most)
  }

  /** Whether most clients came back; or so many were let go that they must have, unrecognised. */
  #isSticky({ ended, excess, servers }: Run): boolean {
    return ended > 0 && (this.#returns.sticky(servers) || ended > Math.max(LEAST_VAIN, VAIN * servers * excess))
  }

  /** End the sparks that the rate allows now. @returns as `#step` */
  #endDue(run: Run): number {
    while (this.#run === run && run.stage > 0 && this.#above(run) > 0) {
      const ms = this.#limiter.wait(now())
      if (ms > 0) return Math.min(Math.ceil(ms), this.fresh)
      const spark = run.next.pop()
      if (spark === undefined) run.stage = 0
      else if (this.server.holds(spark) && !this.#ending.has(spark)) this.#end(run, spark)
    }
    return 0
  }

  #end(run: Run, spark: Spark): void {
    this.#limiter.record(now())
    this.#returns.letGo(traceOf(spark), now())
    this.#ending.add(spark)
    run.ended++
    run.stage--
    run.endedAt = now()
    try {
      spark.end(undefined, { reconnect: true })
    } catch (error) {
      this.server.failed(asError(error))
    }
  }

  /** Stop, because a balancer sends the clients back. */
  #sticky(run: Run): number {
    const { ended, returned } = run
    this.#returns.forget()
    this.#settle(run, 'returned')
    this.#warning =
      `To even out the sparks, this server let ${ended} clients go, and most came straight back (${returned} of them ` +
      'recognised): a balancer in front sends each client to the server that it had. Let it lead a new connection to ' +
      'any server, or do not balance.'
    this.server.failed(new MetroplexError('ESTICKY', this.#warning))
    return 0
  }

  /** @returns as `#step` */
  #settle(run: Run, stopped?: BalanceStop): number {
    if (this.#run !== run) return 0
    this.#run = undefined
    run.over.abort()
    const { ended, returned, target } = run
    if (stopped === undefined) this.#warning = ''
    const balanced: Balanced = {
      ended,
      returned,
      sparks: this.#size,
      target,
      ...(stopped !== undefined && { stopped })
    }
    this.#last = balanced
    this.#ending.clear()
    if (ended > 0) this.server.done(balanced)
    run.end.resolve(balanced)
    return 0
  }
}
