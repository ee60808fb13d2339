import { ignore } from '../common/callback'
import { now, delay, withTimeout } from '../common/async'
import { asError, MetroplexError } from '../common/errors'
import type { Description, Entered, LifeId } from '../registry/records'
import type { LifeParts, LifeEvents, LifeTimes } from './life-types'
import { Heartbeat } from './heartbeat'
import { Leftovers } from './leftovers'
import { Readiness } from './readiness'
import { Upkeep } from './upkeep'

/** Pause after a failed attempt to register, in ms. The attempt itself waits for Redis. */
const RETRY_PAUSE = 250

/**
 * This server's membership in one registry, from the first attempt to register until it leaves.
 *
 * Registering, leaving and closing run one after the other. While registered it beats; a beat that finds a difference
 * starts a heal. Three events change the life by themselves:
 *
 * * The registry has lost its data: the same life joins again.
 * * Another life has taken over although our lease went on: ours takes the address back.
 * * Peers have seen this life end, or another process has the address for good: another life begins when the address
 *   is free.
 */
export class Life {
  readonly #heartbeat: Heartbeat
  readonly #readiness: Readiness
  readonly #leftovers: Leftovers
  readonly #upkeep: Upkeep
  /** Address and life, while registered. */
  #me: LifeId | undefined
  /** Aborts the attempt to register, and every later attempt that continues it, until this server leaves. */
  #attempt: AbortController | undefined
  #wanted = ''
  /** How many lives have begun since `register` was called. */
  #begun = 0
  #turn: Promise<unknown> = Promise.resolve()
  #closing: Promise<void> | undefined

  constructor(
    private readonly parts: LifeParts,
    private readonly description: () => Description,
    /** The random id of the nth life since `register` was called. */
    private readonly nthLife: (nth: number) => string,
    private readonly pace: LifeTimes,
    private readonly events: LifeEvents
  ) {
    this.#heartbeat = new Heartbeat(
      () => this.#beat(),
      { period: pace.period, retry: pace.period / 4 },
      {
        failed: error => {
          this.#readiness.missed(error)
        }
      }
    )
    this.#readiness = new Readiness(parts, () => this.#me !== undefined && this.awaited === '', events)
    this.#leftovers = new Leftovers(parts.registry.remains, parts.reaper, parts.table, late => {
      parts.registration.settled()
      parts.members.settled()
      if (late) events.settled()
    })
    this.#upkeep = new Upkeep(parts, this.#readiness, this.#leftovers, {
      current: me => this.#me === me,
      healed: (sparks, ms) => {
        events.healed(sparks, ms)
      }
    })
  }

  /** The address that this server has or tries to get; `''` for none. */
  get wanted(): string {
    return this.#attempt === undefined ? '' : this.#wanted
  }

  /** The address that this server waits for because another live server has it; `''` for none. */
  get awaited(): string {
    return this.parts.registration.awaited
  }

  /** The address of this server; `''` while it is not registered. */
  get address(): string {
    return this.#me?.address ?? ''
  }

  /** The random id of this life; `''` while this server is not registered. */
  get id(): string {
    return this.#me?.life ?? ''
  }

  /** The state of this server in the registry. */
  get standing(): Pick<Readiness, 'state' | 'reasons' | 'warnings' | 'full'> {
    return this.#readiness
  }

  /** Beat at once, because of an event that a beat would notice. */
  beatNow(): void {
    this.#readiness.evaluate()
    this.#upkeep.run('beat now', this.#heartbeat.now())
  }

  /** The connection to Redis is lost: what this server knows of its peers may be out of date. */
  connectionLost(): void {
    this.#heartbeat.interrupt()
    this.#readiness.disconnected()
  }

  /**
   * Register under an address, and leave the present one first.
   *
   * @param patient retry as long as it takes when Redis is unreachable, instead of rejecting
   */
  register(address: string, patient: boolean): Promise<void> {
    if (address !== this.#wanted) this.#want(address)
    return this.#inTurn(async () => {
      if (address === this.address) return
      if (this.#me !== undefined) await this.#leave()
      this.#begun = 0
      await this.#enlist(address, { fresh: true, patient })
    })
  }

  /** Leave the registry, or abort the attempt to register. Resolves with the address that was left; `''` for none. */
  unregister(): Promise<string> {
    this.#want('')
    return this.#inTurn(() => this.#leave())
  }

  /**
   * Give up the address and wait for it, because another server has it in the registry that decides.
   *
   * @param still whether that is still so when the turn comes
   */
  yield(still: () => boolean): Promise<void> {
    return this.#inTurn(async () => {
      if (!still()) return
      this.events.waiting()
      const address = await this.#leave()
      if (address !== '') this.#enlistAgain(address, { fresh: true })
    })
  }

  /** Remove another server from the registry. */
  remove(address: string): Promise<void> {
    return this.#inTurn(() => this.parts.reaper.remove(address))
  }

  /** Leave for good, within the deadline even when Redis is unreachable. A second call changes nothing. */
  close(): Promise<void> {
    return (this.#closing ??= this.#close())
  }

  /** Want an address from now on. An attempt that waits for another one ends: it would block the queue of turns. */
  #want(address: string): void {
    this.#wanted = address
    this.#attempt?.abort()
  }

  /** Run registrations and departures one after the other. */
  #inTurn<T>(task: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(() => {
      if (this.#closing !== undefined) throw new MetroplexError('ECLOSED', 'This server has been destroyed.')
      return task()
    })
    this.#turn = turn.catch(ignore)
    return turn
  }

  /** Begin a life at an address. */
  async #enlist(address: string, how: { fresh: boolean; patient: boolean }): Promise<void> {
    const { members, writer } = this.parts
    const attempt = (this.#attempt = new AbortController())
    let me: LifeId
    let entered: Entered | 'ended' | null
    do {
      me = { address, life: this.nthLife(this.#begun++) }
      members.ours = me.life
      entered = await this.#join(me, attempt.signal, how.patient)
      // `join` had succeeded but its answer was lost, and the life has been declared dead since.
    } while (entered === 'ended')
    if (entered === null) return
    this.#me = me
    members.take(address, entered.over)
    writer.open(me, how.fresh)
    // Beats without a life have renewed no lease: they do not count as unbroken.
    this.#heartbeat.interrupt()
    this.#heartbeat.start()
    this.#readiness.joined()
    if (!how.fresh) this.#upkeep.heal(me, true)
    this.#leftovers.found(entered)
    this.#readiness.evaluate()
    this.#upkeep.clear(me)
    await members.refresh().catch(ignore)
    // A beat may have lost this life meanwhile.
    if (this.#me === me) this.events.registered(address)
  }

  async #join(me: LifeId, signal: AbortSignal, patient: boolean): Promise<Entered | 'ended' | null> {
    for (;;) {
      try {
        await this.parts.agreement.enter()
        const joined = await this.parts.registration.join(me, 0, this.description(), signal)
        this.#readiness.worked('join')
        return joined
      } catch (error) {
        if (!patient) throw error
        if (signal.aborted) return null
        this.#readiness.refused(asError(error))
        await delay(RETRY_PAUSE, signal)
      }
    }
  }

  async #beat(): Promise<void> {
    const me = this.#me
    if (me === undefined) return
    const { registry, writer, members, reaper, agreement } = this.parts
    const { lease, hold } = this.pace
    // After an outage, peers could not beat either: an early sweep would bury live servers.
    const sweep = this.#heartbeat.unbroken >= lease ? hold : 0
    const began = now()
    const { beat, right } = await writer.exclusive(async () => {
      const beating = registry.beat(me, this.pace, sweep, agreement.keptBy(registry))
      reaper.prepare()
      const beat = await beating
      return { beat, right: beat.as === 'ok' && writer.agrees(beat) }
    })
    this.#readiness.beaten()
    this.events.beaten(now() - began)
    if (this.#me !== me) return
    if (beat.as === 'former') return this.#reclaim(me, beat.holder)
    if (beat.as !== 'ok') return this.#lifeLost(me, beat.as)
    // Peers may have been paused with this server: no sweep until they have had a lease's time to come back.
    if (!beat.prompt) this.#heartbeat.interrupt()
    this.#upkeep.afterBeat(me, beat, right)
    await members.beaten(beat.members, beat.servers)
  }

  /** Take the address back from a life that has taken over although our lease went on. */
  async #reclaim(me: LifeId, holder: string): Promise<void> {
    const { registry, writer } = this.parts
    this.#heartbeat.interrupt()
    const aside = await writer.exclusive(() => registry.reclaim(me, holder, this.pace))
    if (this.#me !== me) return
    // The address has changed hands again, or our lease has ended: another beat tells which.
    if (aside === null) return this.#beat()
    writer.open(me, false)
    this.#upkeep.heal(me, true)
    this.#leftovers.reclaimed(aside)
    this.#upkeep.clear(me)
    this.events.settled()
  }

  /** The registry does not have this life any more. */
  async #lifeLost(me: LifeId, why: 'gone' | 'other' | 'ended'): Promise<void> {
    const { registration, writer, members, agreement } = this.parts
    this.#heartbeat.interrupt()
    if (why === 'gone' && this.#attempt !== undefined) {
      // Redis has lost its data, and no server has declared this life dead: it goes on.
      await agreement.enter()
      const entered = await registration.join(me, writer.seq, this.description(), this.#attempt.signal)
      if (entered === null || this.#me !== me) return
      if (entered !== 'ended') {
        writer.open(me, false, true)
        this.#upkeep.heal(me, true)
        this.#leftovers.found(entered)
        this.#upkeep.clear(me)
        this.#readiness.evaluate()
        this.events.registered(me.address)
        return
      }
    }
    // Peers have seen this life end, or another process has the address: begin another life.
    this.#me = undefined
    writer.close()
    if (why === 'other') registration.contest(me.address)
    if (registration.awaited !== '') members.release()
    this.#readiness.evaluate()
    this.#enlistAgain(me.address, { fresh: false })
  }

  /** Begin another life at an address; retries as long as it takes. */
  #enlistAgain(address: string, how: { fresh: boolean }): void {
    this.#upkeep.run(
      'enlist',
      this.#inTurn(async () => {
        if (address === this.#wanted) await this.#enlist(address, { ...how, patient: true })
      })
    )
  }

  async #leave(): Promise<string> {
    const { registry, writer, members, reaper } = this.parts
    const me = this.#me
    this.#attempt?.abort()
    this.#attempt = this.#me = undefined
    writer.close()
    this.#readiness.left()
    await this.#heartbeat.stop()
    members.release()
    if (me !== undefined) {
      await registry.leave(me)
      await reaper.clean(me, false, this.#leftovers.names)
    }
    this.events.unregistered()
    return me?.address ?? ''
  }

  async #close(): Promise<void> {
    const { timeout } = this.pace
    this.#readiness.end()
    this.#attempt?.abort()
    // The sweep of a peer removes what is left after the deadline.
    const late = (): Error => new MetroplexError('EDEADLINE', `The registry could not be left within ${timeout} ms.`)
    const left = this.#turn.then(() => this.#leave()).then(() => this.parts.reaper.stop())
    await withTimeout(left, timeout, late).catch((error: unknown) => {
      this.events.failed(asError(error))
    })
  }
}
