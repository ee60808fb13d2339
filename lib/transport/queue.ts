import { crash } from '../callback'
import { now } from '../deadline'
import { asError, MetroplexError } from '../errors'
import { batch, type Outgoing } from './envelope'
import type { Reply } from './reception'

/** How much may wait, and how much of that is in use over all peers. */
export interface Budget {
  /** The most messages per peer. */
  readonly messages: number
  /** The most bytes per peer. */
  readonly bytes: number
  /** The most bytes over all peers. */
  readonly total: number
  /** The bytes that wait over all peers. */
  used: number
}

/** What a queue needs of a session with its peer. */
export interface Delivery {
  /** The largest body that the peer takes, in bytes. */
  readonly maxBody: number
  /** Whether what is being delivered may have left. */
  readonly leaving: boolean
  deliver(body: Buffer, deadline: number, gone: AbortSignal): Promise<string>
}

/** What a batch may hold, in bytes. */
export interface Sizes {
  /** A single message. */
  readonly body: number
  /** Several together. */
  readonly batch: number
}

/** A message that waits, or is on its way. */
interface Item {
  readonly message: Outgoing
  readonly deadline: number
  readonly resolve: (reply: Reply) => void
  readonly reject: (error: MetroplexError) => void
  settled: boolean
}

/** The most messages in one batch: what a receiver does without a pause. */
const MOST = 1000
/** How soon it is looked again what has passed its deadline, in ms: a glance at all that waits is not free. */
const SOONEST = 5
/** How often in a row a peer may not be reached at all before it is left alone for a while. */
const PATIENCE = 3
/** For how long, in ms: at first, and at the most. */
const [REST, LONGEST_REST] = [100, 2000]

/**
 * The messages for one peer, of every kind, in the order in which they came.
 *
 * What comes while a batch is on its way gathers for the next one: one batch is under way at a time. It is bounded, and says so at once
 * (`EBUSY`); a message that has not left at its deadline has failed for certain, one that has left may have arrived. A peer
 * that cannot be reached several times in a row is left alone for up to two seconds, in which messages to it fail at once.
 */
export class Queue {
  #waiting: Item[] = []
  #flying: Item[] = []
  /** Bytes of both. */
  #bytes = 0
  #timer: NodeJS.Timeout | undefined
  /** When the timer goes off. */
  #due = Infinity
  #planned = false
  /** The most messages in the next batch: fewer after one that was too large for the peer. */
  #most = MOST
  readonly #gone = new AbortController()
  /** How often the peer could not be reached, in a row; why; and until when it is left alone. */
  #failures = 0
  #reason: MetroplexError | undefined
  #until = 0
  /** When it was used last, by `performance.now()`. */
  used = now()

  constructor(
    readonly address: string,
    private readonly session: Delivery,
    private readonly sizes: Sizes,
    private readonly budget: Budget,
    /** How long an operation may take, in ms. */
    private readonly timeout: number
  ) {}

  /** Nothing waits, nothing is on its way. */
  get idle(): boolean {
    return this.#waiting.length === 0 && this.#flying.length === 0
  }

  /** How many messages wait or are on their way. */
  get length(): number {
    return this.#waiting.length + this.#flying.length
  }

  /**
   * Have the peer carry out a message, after all that came before it.
   *
   * @param deadline until when, by `performance.now()`
   * @throws MetroplexError with `maybe`
   */
  add(message: Outgoing, deadline: number): Promise<Reply> {
    return new Promise((resolve, reject) => {
      const refusal = this.#refusal(message)
      if (refusal !== undefined) {
        reject(refusal)
        return
      }
      this.used = now()
      this.#bytes += message.size
      this.budget.used += message.size
      this.#waiting.push({ message, deadline, resolve, reject, settled: false })
      if (deadline < this.#due) this.#watch(deadline)
      this.#plan()
    })
  }

  /** The peer has ended, or we have: what waits has not arrived. Of what is on its way its session tells. */
  close(error: MetroplexError): void {
    this.#gone.abort()
    for (const item of this.#waiting) this.#fail(item, error)
    this.#waiting = []
  }

  /** Why a message cannot even wait. */
  #refusal({ size }: Outgoing): MetroplexError | undefined {
    const { address, budget, sizes } = this
    const refuse = (code: 'EBUSY' | 'ETOOBIG' | 'ECLOSED', sentence: string): MetroplexError => new MetroplexError(code, sentence, { address, maybe: false })
    if (this.#gone.signal.aborted) return refuse('ECLOSED', `Nothing is sent to ${address} any more.`)
    const most = Math.min(sizes.body, this.session.maxBody)
    if (size > most) return refuse('ETOOBIG', `A message of ${size} bytes is larger than what ${address} takes, ${most} bytes: see \`maxBody\`.`)
    const reason = now() < this.#until ? this.#reason : undefined
    if (reason !== undefined) return new MetroplexError(reason.code, `${reason.message} It is tried again soon.`, { address, maybe: false, cause: reason })
    const full = this.length >= budget.messages ? `${budget.messages} messages` :
      this.#bytes + size > budget.bytes ? `${budget.bytes} bytes` :
        budget.used + size > budget.total ? `${budget.total} bytes over all peers` : ''
    return full === '' ? undefined : refuse('EBUSY', `More is waiting for ${address} than allowed, ${full}: see \`maxQueue\`.`)
  }

  /**
   * Send as soon as whoever is adding messages now has added them all: also those who hear in this turn of the event loop what
   * has become of earlier ones, and send the next. One whole batch costs less than two halves that take turns.
   */
  #plan(): void {
    if (this.#planned || this.#flying.length > 0) return
    this.#planned = true
    process.nextTick(() => {
      queueMicrotask(() => {
        this.#planned = false
        this.#fly()
      })
    })
  }

  #fly(): void {
    const items = this.#take()
    if (items.length === 0) return
    this.#flying = items
    const deadline = items.reduce((latest, item) => Math.max(latest, item.deadline), 0)
    this.session.deliver(batch(items.map(({ message }) => message)), deadline, this.#gone.signal).then(
      text => { this.#arrived(items, text) },
      (error: unknown) => { this.#failed(items, error) }
    ).finally(() => {
      this.#flying = []
      this.used = now()
      if (this.#waiting.length > 0) this.#plan()
    }).catch(crash)
  }

  /** What goes together next. */
  #take(): Item[] {
    const most = Math.min(this.sizes.batch, this.session.maxBody)
    const waiting = this.#waiting
    let count = 0
    let bytes = 2
    while (count < waiting.length && count < this.#most) {
      const item = waiting[count]
      if (item === undefined || (!item.settled && count > 0 && bytes + item.message.size > most)) break
      if (!item.settled) bytes += item.message.size
      count++
    }
    const items = waiting.slice(0, count)
    this.#waiting = count === waiting.length ? [] : waiting.slice(count)
    return items.filter(({ settled }) => !settled)
  }

  #arrived(items: readonly Item[], text: string): void {
    this.#failures = 0
    this.#until = 0
    this.#most = MOST
    const replies = repliesOf(text)
    items.forEach((item, i) => {
      const reply = replies?.[i]
      if (reply === undefined || replies?.length !== items.length) {
        this.#fail(item, new MetroplexError('EPROTOCOL', `${this.address} answered a batch with something else.`, { address: this.address, maybe: true }))
      } else if (this.#settle(item)) item.resolve(reply)
    })
  }

  #failed(items: readonly Item[], thrown: unknown): void {
    const error = thrown instanceof MetroplexError ? thrown :
      new MetroplexError('EPROTOCOL', `The batch could not be sent: ${asError(thrown).message}`, { address: this.address, maybe: true, cause: thrown })
    if (error.code === 'ETOOBIG' && error.maybe === false && items.length > 1 && !this.#gone.signal.aborted) {
      // How much it takes it says only when it is greeted. Too large together is no reason for any of them to fail.
      this.#most = Math.ceil(items.length / 2)
      this.#waiting = [...items.filter(({ settled }) => !settled), ...this.#waiting]
      this.#flying = []
      return
    }
    if (error.code === 'EUNREACHABLE' || error.code === 'EDEADLINE') {
      this.#reason = error
      if (++this.#failures >= PATIENCE) this.#until = now() + Math.min(REST * 2 ** (this.#failures - PATIENCE), LONGEST_REST) * (0.5 + Math.random() / 2)
    }
    for (const item of items) this.#fail(item, error)
  }

  /** Wake up at a deadline. */
  #watch(due: number): void {
    clearTimeout(this.#timer)
    this.#due = due
    if (due !== Infinity) this.#timer = setTimeout(() => { this.#expire() }, Math.max(SOONEST, due - now())).unref()
  }

  /** Fail what has passed its deadline. */
  #expire(): void {
    const { address, timeout } = this
    const time = now()
    const late = (maybe: boolean): MetroplexError => new MetroplexError('EDEADLINE', maybe
      ? `${address} did not answer within the deadline of ${timeout} ms.`
      : `The message could not leave for ${address}, which was not reached or was busy with earlier ones, within the deadline of ${timeout} ms.`, { address, maybe })
    let next = Infinity
    const look = (item: Item, maybe: boolean): void => {
      if (item.settled) return
      if (item.deadline <= time) this.#fail(item, late(maybe))
      else next = Math.min(next, item.deadline)
    }
    for (const item of this.#flying) look(item, this.session.leaving)
    for (const item of this.#waiting) look(item, false)
    this.#waiting = this.#waiting.filter(({ settled }) => !settled)
    this.#watch(next)
  }

  #fail(item: Item, error: MetroplexError): void {
    if (this.#settle(item)) item.reject(error)
  }

  /** Whether it was still open. */
  #settle(item: Item): boolean {
    if (item.settled) return false
    item.settled = true
    this.#bytes -= item.message.size
    this.budget.used -= item.message.size
    return true
  }
}

/** What a peer says of each message of a batch. */
function repliesOf(text: string): Reply[] | undefined {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  return Array.isArray(value) && (value as unknown[]).every(isReply) ? value as Reply[] : undefined
}

function isReply(value: unknown): value is Reply {
  if (typeof value === 'number') return Number.isSafeInteger(value) && value >= 0
  if (Array.isArray(value)) return value.length === 2 && typeof value[0] === 'number' && Array.isArray(value[1]) && (value[1] as unknown[]).every(id => typeof id === 'string')
  return typeof value === 'object' && value !== null && typeof (value as { code?: unknown }).code === 'string' && typeof (value as { message?: unknown }).message === 'string'
}
