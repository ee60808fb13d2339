import { rethrow } from '../../common/callback'
import { now } from '../../common/async'
import { asError, MetroplexError, peerError } from '../../common/errors'
import { batch, readReplies, type Outgoing, type Reply } from '../envelope'
import { CircuitBreaker } from './circuit-breaker'
import { isDeferrable, type Delivery, type Flight, type Item } from './flight'

/** How much may wait, per peer and over all peers. */
export interface Budget {
  /** The most messages per peer. */
  readonly messages: number
  /** The most bytes per peer. */
  readonly bytes: number
  /** The most bytes over all peers. */
  readonly total: number
  /** The bytes that wait now over all peers. */
  used: number
}

/** Limits of a batch, in bytes. */
export interface Sizes {
  /** For a single message. */
  readonly body: number
  /** For several messages together. */
  readonly batch: number
}

/** The most messages in one batch, so that the receiver applies it without blocking its event loop for long. */
const MOST_MESSAGES = 1000
/** The shortest time between two checks of deadlines, in ms, because a check visits all waiting messages. */
const TIMER_STEP = 5

/**
 * The queue of messages for one peer, in the order in which they were added.
 *
 * One batch is in flight at a time; messages that are added meanwhile form the next one. While no caller waits for the
 * results, several may be in flight. The queue is bounded: a message that does not fit fails at once with `EBUSY`. At
 * its deadline a message fails: with `maybe: true` if it may have left. When the peer cannot be reached several times
 * in a row, messages to it fail at once for up to two seconds.
 */
export class Outbox {
  #waiting: Item[] = []
  readonly #flights = new Set<Flight>()
  /** The number of messages in flight. */
  #inFlight = 0
  /** Resolves when all batches in flight have settled. */
  #landed: Promise<void> = Promise.resolve()
  /** Bytes of the messages that wait and that are in flight. */
  #bytes = 0
  #timer: NodeJS.Timeout | undefined
  /** When the timer fires, by `performance.now()`. */
  #timerDue = Infinity
  #batchScheduled = false
  /** The most messages in the next batch. It shrinks after a batch that was too large for the peer. */
  #batchLimit = MOST_MESSAGES
  readonly #closed = new AbortController()
  readonly #breaker = new CircuitBreaker()
  /** When `#breaker` was last told of a failure. Batches that were in flight together then fail as one. */
  #lastFailure = 0
  /** Set when a batch has been answered. */
  #arrives: true | undefined
  /** Why the last batch failed as a whole; `undefined` when it arrived. Unlike `#breaker`, it delays nothing. */
  #rejection: MetroplexError | undefined
  /** When a message was last added or answered, by `performance.now()`. */
  lastUsed = now()

  constructor(
    readonly address: string,
    private readonly session: Delivery,
    private readonly sizes: Sizes,
    private readonly budget: Budget,
    /** The duration of one operation in ms, for error messages. */
    private readonly timeout: number
  ) {}

  /** Whether messages arrive: `true`, or the last failure; `undefined` before the first batch has ended. */
  get delivers(): true | MetroplexError | undefined {
    return this.#rejection ?? this.#arrives
  }

  /** Whether no message waits or is in flight. */
  get idle(): boolean {
    return this.length === 0
  }

  /** Resolves when all batches in flight have settled; never rejects. */
  get landed(): Promise<void> {
    return this.#landed
  }

  /** The number of messages that wait or are in flight. */
  get length(): number {
    return this.#waiting.length + this.#inFlight
  }

  /**
   * Add a message. The peer applies it after all messages that were added before.
   *
   * @param deadline by `performance.now()`
   * @throws MetroplexError with `maybe`
   */
  add(message: Outgoing, deadline: number): Promise<Reply> {
    return new Promise((resolve, reject) => {
      const refusal = this.#refusal(message)
      if (refusal !== undefined) {
        reject(refusal)
        return
      }
      this.lastUsed = now()
      this.#bytes += message.size
      this.budget.used += message.size
      this.#waiting.push({ message, deadline, resolve, reject, settled: false })
      if (deadline < this.#timerDue) this.#armTimer(deadline)
      this.#scheduleBatch()
    })
  }

  /** Fail all waiting messages with this error. The session settles the batches in flight. */
  close(error: MetroplexError): void {
    this.#closed.abort()
    for (const item of this.#waiting) this.#fail(item, error)
    this.#waiting = []
  }

  /** The error with which a message is refused at once, if any. */
  #refusal({ size }: Outgoing): MetroplexError | undefined {
    const { address, budget, sizes } = this
    const refuse = (code: 'EBUSY' | 'ETOOBIG' | 'ECLOSED', sentence: string): MetroplexError =>
      new MetroplexError(code, sentence, { address, maybe: false })
    if (this.#closed.signal.aborted) return refuse('ECLOSED', `The connection to ${address} was closed.`)
    const most = Math.min(sizes.body, this.session.maxBody)
    if (size > most)
      return refuse(
        'ETOOBIG',
        `A message of ${size} bytes is larger than ${address} accepts, ${most} bytes: see \`maxBody\`.`
      )
    const unreachable = this.#breaker.refusal
    if (unreachable !== undefined) return unreachable
    const full =
      this.length >= budget.messages
        ? `${budget.messages} messages`
        : this.#bytes + size > budget.bytes
          ? `${budget.bytes} bytes`
          : budget.used + size > budget.total
            ? `${budget.total} bytes over all peers`
            : ''
    return full === '' ? undefined : refuse('EBUSY', `More than ${full} would wait for ${address}: see \`maxQueue\`.`)
  }

  /**
   * Send the next batch when all callbacks of this turn of the event loop have run.
   *
   * A callback that learns the result of one message often sends the next one. One whole batch costs less than two
   * halves.
   */
  #scheduleBatch(): void {
    if (this.#batchScheduled || !this.session.ready) return
    this.#batchScheduled = true
    process.nextTick(() => {
      queueMicrotask(() => {
        this.#batchScheduled = false
        this.#sendBatch()
      })
    })
  }

  #sendBatch(): void {
    // It is scheduled again when the session is ready.
    if (!this.session.ready) return
    const items = this.#takeBatch()
    if (items.length === 0) return
    const body = batch(items.map(({ message }) => message))
    const deadline = items.reduce((latest, item) => Math.max(latest, item.deadline), 0)
    const began = now()
    const deferrable = isDeferrable(items, body, this.timeout)
    const { progress, answer } = this.session.deliver(body, deadline, this.#closed.signal, deferrable)
    const flight = { items, began, progress }
    this.#flights.add(flight)
    this.#inFlight += items.length
    const landed = answer
      .then(
        text => {
          this.#arrived(items, text)
        },
        (error: unknown) => {
          this.#failed(flight, error)
        }
      )
      .finally(() => {
        this.#flights.delete(flight)
        this.#inFlight -= items.length
        this.lastUsed = now()
        if (this.#waiting.length > 0) this.#scheduleBatch()
      })
    const before = this.#landed
    this.#landed = landed.catch(rethrow).then(() => before)
    if (this.#waiting.length > 0) this.#scheduleBatch()
  }

  /** Remove the messages of the next batch from the queue. */
  #takeBatch(): Item[] {
    const most = Math.min(this.sizes.batch, this.session.maxBody)
    const waiting = this.#waiting
    let count = 0
    let bytes = 2
    while (count < waiting.length && count < this.#batchLimit) {
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
    this.#breaker.worked()
    this.#rejection = undefined
    this.#arrives = true
    this.#batchLimit = MOST_MESSAGES
    const replies = readReplies(text)
    items.forEach((item, i) => {
      const reply = replies?.[i]
      if (reply === undefined || replies?.length !== items.length) {
        this.#fail(item, peerError('EPROTOCOL', this.address, 'sent an invalid answer to a batch', { maybe: true }))
      } else if (this.#settle(item)) item.resolve(reply)
    })
  }

  #failed({ items, began }: Flight, thrown: unknown): void {
    const error =
      thrown instanceof MetroplexError
        ? thrown
        : new MetroplexError('EPROTOCOL', `The batch could not be sent: ${asError(thrown).message}`, {
            address: this.address,
            maybe: true,
            cause: thrown
          })
    const alone = this.#flights.size === 1 && !this.#closed.signal.aborted
    if (error.code === 'ETOOBIG' && error.maybe === false && items.length > 1 && alone) {
      // The limit of the peer is known only after a hello. Smaller batches may pass, so these messages wait again.
      this.#batchLimit = Math.ceil(items.length / 2)
      this.#waiting = [...items.filter(({ settled }) => !settled), ...this.#waiting]
      return
    }
    // These two say nothing of the peer: we have ended, or one message was too large.
    if (error.code !== 'ECLOSED' && error.code !== 'ETOOBIG') this.#rejection = error
    if ((error.code === 'EUNREACHABLE' || error.code === 'EDEADLINE') && began >= this.#lastFailure) {
      this.#lastFailure = now()
      this.#breaker.failed(error)
    }
    for (const item of items) this.#fail(item, error)
  }

  /** Set the timer that fails expired messages. */
  #armTimer(due: number): void {
    clearTimeout(this.#timer)
    this.#timerDue = due
    if (due !== Infinity)
      this.#timer = setTimeout(
        () => {
          this.#failExpired()
        },
        Math.max(TIMER_STEP, due - now())
      ).unref()
  }

  /** Fail the messages whose deadline has passed. */
  #failExpired(): void {
    const { address, timeout } = this
    const time = now()
    const { lastError: trouble } = this.session
    const reason = trouble === undefined ? '' : ` The last attempt: ${trouble.message}`
    const expired = (maybe: boolean): MetroplexError => {
      const deadline = `within the deadline of ${timeout} ms.${reason}`
      const what = maybe
        ? `${address} did not answer`
        : `The message could not leave for ${address}, which was not reached or was busy with earlier ones,`
      const details = { address, maybe, status: trouble?.status, cause: trouble }
      return new MetroplexError('EDEADLINE', `${what} ${deadline}`, details)
    }
    let next = Infinity
    const check = (item: Item, maybe: boolean): void => {
      if (item.settled) return
      if (item.deadline <= time) this.#fail(item, expired(maybe))
      else next = Math.min(next, item.deadline)
    }
    for (const { items, progress } of this.#flights) for (const item of items) check(item, progress.mayHaveLeft)
    for (const item of this.#waiting) check(item, false)
    this.#waiting = this.#waiting.filter(({ settled }) => !settled)
    this.#armTimer(next)
  }

  #fail(item: Item, error: MetroplexError): void {
    if (this.#settle(item)) item.reject(error)
  }

  /** Take a message out of the accounts. @returns whether it was still unsettled */
  #settle(item: Item): boolean {
    if (item.settled) return false
    item.settled = true
    this.#bytes -= item.message.size
    this.budget.used -= item.message.size
    return true
  }
}
