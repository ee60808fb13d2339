import { ignore } from '../callback'
import { now, pause, within } from '../deadline'
import { asError, MetroplexError } from '../errors'
import type { Healer } from '../registry/healer'
import type { Beat, Description, Identity, Terms } from '../registry/records'
import type { Registry } from '../registry/registry'
import type { Table } from '../registry/table'
import type { Writer } from '../registry/writer'
import type { State } from '../reports'
import type { Agreement } from './agreement'
import type { Auditor } from './auditor'
import { Heartbeat } from './heartbeat'
import { Leftovers } from './leftovers'
import type { Members } from './members'
import type { Reaper } from './reaper'
import type { Registration } from './registration'
import { Standing, type StandingEvents } from './standing'

/** Whom a life works with. */
export interface Companions {
  readonly registry: Pick<Registry, 'beat' | 'leave' | 'resident' | 'reachable'>
  readonly table: Table
  readonly writer: Writer
  readonly healer: Healer
  readonly members: Members
  readonly reaper: Reaper
  readonly registration: Registration
  readonly auditor: Auditor
  readonly agreement: Pick<Agreement, 'enter' | 'confirm'>
}

/** How a life goes, in ms. */
export interface Pace extends Terms {
  /** From one beat to the next. */
  readonly period: number
  /** For how long the sweep is held without being renewed. */
  readonly hold: number
  /** Bound of everything that somebody waits for. */
  readonly timeout: number
}

/** What a life reports. */
export interface LifeEvents extends StandingEvents {
  registered(address: string): void
  unregistered(address: string): void
  /** So many entries were wrong, and are right again; how long it took, in ms. */
  healed(sparks: number, ms: number): void
  /** A beat has succeeded; how long it took, in ms. */
  beaten(ms: number): void
}

/** Pause after a failed attempt to register, in ms; the attempt itself waits for Redis. */
const TRY_AGAIN = 250

/**
 * Our own part in the cluster, from the first attempt to register to the farewell.
 *
 * Registering, leaving and closing come one after the other. While registered it beats; a beat that finds something off
 * starts a heal. When the registry has lost its data, the same life joins again; when peers have seen this life end, or
 * another process has taken the address, another life of ours begins by itself, once the address is free.
 */
export class Life {
  readonly #heartbeat: Heartbeat
  readonly #standing: Standing
  readonly #leftovers: Leftovers
  /** Who we are, while we are registered. */
  #me: Identity | undefined
  /** Ends the attempt to register that is under way, or the stay that followed it. */
  #stay: AbortController | undefined
  #wanted = ''
  /** How many lives of ours have begun since somebody asked us to register. */
  #begun = 0
  #turn: Promise<unknown> = Promise.resolve()
  #closing: Promise<void> | undefined

  constructor(
    private readonly companions: Companions,
    private readonly description: () => Description,
    /** The random word of the nth life that begins by itself after we were asked to register. */
    private readonly word: (nth: number) => string,
    private readonly pace: Pace,
    private readonly events: LifeEvents
  ) {
    this.#heartbeat = new Heartbeat(() => this.#beat(), { period: pace.period, retry: pace.period / 4 }, {
      failed: error => { this.#standing.missed(error) }
    })
    this.#standing = new Standing(companions, () => this.#me !== undefined, events)
    this.#leftovers = new Leftovers(companions.reaper, companions.table)
  }

  /** The address that we have or try to have; `''` for none. */
  get wanted(): string {
    return this.#stay === undefined ? '' : this.#wanted
  }

  /** Our address; `''` while we are not registered. */
  get address(): string {
    return this.#me?.address ?? ''
  }

  /** The random word of this life; `''` while we are not registered. */
  get id(): string {
    return this.#me?.life ?? ''
  }

  /** How we stand with the registry. */
  get state(): State {
    return this.#standing.state
  }

  /** Why we are not `ready`, in sentences; empty when we are. */
  get reasons(): string[] {
    return this.#standing.reasons
  }

  /** Beat at once: something has happened that a beat would notice. */
  stir(): void {
    this.#standing.look()
    this.#inBackground(this.#heartbeat.now())
  }

  /** Redis could not be reached: what we believed of others is in question. */
  disturb(): void {
    this.#heartbeat.interrupt()
    this.#standing.look()
  }

  /**
   * Register under an address, leaving the one that we had. Resolves once that is done.
   *
   * @param patient try for as long as it takes when Redis cannot be asked, rather than reject
   */
  register(address: string, patient: boolean): Promise<void> {
    return this.#inTurn(async () => {
      if (address === this.address) return
      if (this.#me !== undefined) await this.#leave()
      this.#begun = 0
      await this.#enlist(address, { fresh: true, announced: true, patient })
    })
  }

  /** Leave the registry, or give up the attempt to register. Resolves with the address that was left, `''` for none. */
  unregister(): Promise<string> {
    // Also ends an attempt that waits for its address, and with it its turn.
    this.#stay?.abort()
    return this.#inTurn(() => this.#leave())
  }

  /** Remove another server. */
  remove(address: string): Promise<void> {
    return this.#inTurn(async () => {
      const { registry, reaper } = this.companions
      const { life } = await registry.resident(address)
      const other = { address, life }
      await registry.leave(other)
      await reaper.clean(other, false)
    })
  }

  /** Leave for good; takes at most the deadline, Redis or no Redis. Harmless when called twice. */
  close(): Promise<void> {
    return this.#closing ??= this.#close()
  }

  /** One registration or departure at a time. */
  #inTurn<T>(task: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(() => {
      if (this.#closing !== undefined) throw new MetroplexError('ECLOSED', 'This server has been destroyed.')
      return task()
    })
    this.#turn = turn.catch(ignore)
    return turn
  }

  /** Become a life of an address. */
  async #enlist(address: string, how: { fresh: boolean; announced: boolean; patient: boolean }): Promise<void> {
    const { members, writer } = this.companions
    const stay = this.#stay = new AbortController()
    this.#wanted = address
    let me: Identity
    let aside: readonly string[] | 'ended' | null
    do {
      me = { address, life: this.word(this.#begun++) }
      members.ours = me.life
      aside = await this.#join(me, stay.signal, how.patient)
      // It was registered, without our hearing of it, and declared dead since.
    } while (aside === 'ended')
    if (aside === null) return
    this.#me = me
    members.self = address
    writer.open(me, how.fresh)
    // Beats without a life renewed nothing.
    this.#heartbeat.interrupt()
    this.#heartbeat.start()
    this.#standing.joined()
    if (!how.fresh) this.#heal(me, true)
    this.#leftovers.found(aside)
    this.#standing.look()
    this.#clear(me)
    await members.refresh().catch(ignore)
    if (how.announced) this.events.registered(address)
  }

  async #join(me: Identity, signal: AbortSignal, patient: boolean): Promise<readonly string[] | 'ended' | null> {
    for (;;) {
      try {
        await this.companions.agreement.enter()
        return await this.companions.registration.join(me, 0, this.description(), signal)
      } catch (error) {
        if (!patient) throw error
        if (signal.aborted) return null
        this.#standing.tell(asError(error))
        await pause(TRY_AGAIN, signal)
      }
    }
  }

  /** Clean up what former lives left behind at our address, while everything else goes on; each beat tries again when it fails. */
  #clear(me: Identity): void {
    this.#inBackground(this.#leftovers.clear(me, () => this.#me === me))
  }

  async #beat(): Promise<void> {
    const me = this.#me
    if (me === undefined) return
    const { registry, writer, healer, table, reaper, members, auditor, agreement } = this.companions
    const { lease, hold } = this.pace
    // After an outage the others had no chance to beat either: a sweep would bury the living.
    const sweep = this.#heartbeat.unbroken >= lease ? hold : 0
    const began = now()
    // It may lie on another master than this registry.
    this.#inBackground(agreement.confirm())
    const { beat, right } = await writer.exclusive(async () => {
      const beat = await registry.beat(me, this.pace, sweep)
      return { beat, right: beat.as === 'ok' && writer.agrees(beat) }
    })
    this.#standing.beaten()
    this.events.beaten(now() - began)
    if (this.#me !== me) return
    if (beat.as !== 'ok') return this.#forgotten(me, beat.as)
    // We were paused, and others may have been with us: they get the time to come back.
    if (!beat.prompt) this.#heartbeat.interrupt()
    if (!right || writer.inDoubt) this.#heal(me, false)
    else this.#inBackground(auditor.look(me, () => this.#me === me && !healer.busy))
    if (table.disowned.size > 0) this.#inBackground(healer.reclaim())
    this.#standing.look()
    this.#clear(me)
    if (beat.turn) this.#inBackground(reaper.sweep({ me, breaks: beat.breaks }))
    await members.beaten(beat.members, beat.servers)
  }

  /** The registry does not know us any more. */
  async #forgotten(me: Identity, why: Exclude<Beat['as'], 'ok'>): Promise<void> {
    const { registration, writer, agreement } = this.companions
    this.#heartbeat.interrupt()
    if (why === 'gone' && this.#stay !== undefined) {
      // Redis has lost its data: nobody has declared us dead, and we are who we were.
      await agreement.enter()
      const aside = await registration.join(me, writer.seq, this.description(), this.#stay.signal)
      if (aside === null || this.#me !== me) return
      if (aside !== 'ended') {
        writer.open(me, false)
        this.#heal(me, true)
        this.#leftovers.found(aside)
        this.#clear(me)
        return
      }
    }
    // Peers have seen this life end: another one begins.
    this.#me = undefined
    writer.close()
    this.#standing.look()
    const { address } = me
    this.#inBackground(this.#inTurn(() => this.#enlist(address, { fresh: false, announced: why === 'other', patient: true })))
  }

  /** Put right what the registry says of us; beats go on meanwhile, and the next one tries again when it fails. */
  #heal(me: Identity, forgotten: boolean): void {
    const began = now()
    const healing = this.companions.healer.heal(me)
    this.#standing.look()
    this.#inBackground(healing.finally(() => { this.#standing.look() }).then(sparks => {
      if (sparks > 0 || forgotten) this.events.healed(sparks, now() - began)
    }))
  }

  async #leave(): Promise<string> {
    const { registry, writer, members, reaper } = this.companions
    const me = this.#me
    this.#stay?.abort()
    this.#stay = this.#me = undefined
    writer.close()
    this.#standing.left()
    await this.#heartbeat.stop()
    members.self = ''
    if (me === undefined) return ''
    await registry.leave(me)
    await reaper.clean(me, false, this.#leftovers.names)
    this.events.unregistered(me.address)
    return me.address
  }

  async #close(): Promise<void> {
    const { timeout } = this.pace
    this.#standing.end()
    this.#stay?.abort()
    // What is not done in time is left to the sweep of the others.
    const late = (): Error => new MetroplexError('EDEADLINE', `The registry could not be left within ${timeout} ms.`)
    const left = this.#turn.then(() => this.#leave()).then(() => this.companions.reaper.stop())
    await within(left, timeout, late).catch((error: unknown) => { this.events.failed(asError(error)) })
  }

  /** What nobody waits for, and a later beat does again. */
  #inBackground(work: Promise<unknown>): void {
    work.catch((error: unknown) => { this.#standing.tell(asError(error)) })
  }
}
