import { rethrow } from '../common/callback'
import { onAbort, LONGEST_TIMER, now } from '../common/async'
import { asError, MetroplexError } from '../common/errors'
import { pushTo } from '../common/multimap'
import { Malformed, type ReceivedMessage, type Reply } from '../transport/envelope'
import { ANSWER, ASK, DROP, WAIT, type PeerChannel } from './peer-channel'
import { EMPTY, isId, type RpcOutcome, type Question } from './question'
import { isRemoteError, deserializeError, serializeError, type RemoteError } from './remote-error'

/** How long a caller waits for an answer. */
export interface Patience {
  /** By `performance.now()`. */
  readonly deadline: number
  /** Aborts the question. */
  readonly signal?: AbortSignal | undefined
}

/** Answers questions of its own process. */
export interface LocalResponder {
  /**
   * Answer a question of this process.
   *
   * @param deliver is called once with the answer, unless the question is dropped first
   * @throws MetroplexError when the question is refused
   */
  here(id: number, question: Question, ms: number, deliver: (answer: RpcOutcome) => void): void
  /** Abort questions of a process; by its node id, `''` for this process. @returns how many were open */
  drop(from: string, ids: readonly number[]): number
}

/** An open question. */
interface Asked {
  readonly address: string
  /** When it was asked, by `performance.now()`. */
  readonly began: number
  /** Whether this process answers it itself. */
  readonly local: boolean
  /** Runs once the responder has the question; until then, the transport enforces the deadline. */
  timer: NodeJS.Timeout | undefined
  readonly removeListener: () => void
  readonly resolve: (value: unknown) => void
  readonly reject: (error: Error) => void
}

/**
 * How often a caller confirms that it still waits, in ms. A responder drops its questions after three times as long.
 */
export const WAIT_PERIOD = 20_000

/** The most questions that one message names. */
const IDS_PER_MESSAGE = 1000

/** How long to try to send a message about questions, in ms. */
const SEND_TIMEOUT = 5000

/**
 * Asks servers, this one among them, and waits for their answers. An answer is a message of its own.
 *
 * Each question settles by its deadline. When the caller gives one up earlier, the responder is informed.
 */
export class RpcCaller {
  readonly #asked = new Map<number, Asked>()
  /** The number of open questions, by address. */
  readonly #counts = new Map<string, number>()
  /** Aborted questions of which the server is not informed yet, by address. */
  readonly #dropped = new Map<string, number[]>()
  #lastId = 0
  #timer: NodeJS.Timeout | undefined
  #closed = false

  constructor(
    private readonly channel: PeerChannel,
    /** Absent in a process that answers no questions. */
    private readonly responder: LocalResponder | undefined,
    /** The own address. */
    private readonly self: () => string,
    /** The most questions that may be open at one server. */
    private readonly limit: number
  ) {
    channel.take(ANSWER, { check: checkAnswer, apply: incoming => this.#answered(incoming) })
  }

  /** The number of open questions. */
  get size(): number {
    return this.#asked.size
  }

  /**
   * Ask a server, after all messages that were sent to it before.
   *
   * @param here whether this process answers the question itself
   * @throws MetroplexError with the server's `address`, and `maybe`; or the signal's reason
   */
  ask(
    address: string,
    question: Question,
    { deadline, signal }: Patience,
    here = address === this.self()
  ): Promise<unknown> {
    const ms = Math.ceil(deadline - now())
    const refusal = signal?.aborted === true ? asError(signal.reason) : this.#refusal(address, ms)
    if (refusal !== undefined) return Promise.reject(refusal)
    const local = here ? this.responder : undefined
    return new Promise((resolve, reject) => {
      const id = ++this.#lastId
      const removeListener = onAbort(signal, () => {
        this.#abort(id, asError(signal?.reason))
      })
      this.#asked.set(id, {
        address,
        began: now(),
        local: local !== undefined,
        timer: undefined,
        removeListener,
        resolve,
        reject
      })
      this.#counts.set(address, (this.#counts.get(address) ?? 0) + 1)
      this.#timer ??= setInterval(() => {
        this.#confirm(({ began }) => now() - began > WAIT_PERIOD / 2)
      }, WAIT_PERIOD).unref()
      if (local !== undefined) this.#here(local, id, address, question, ms)
      else this.#there(id, address, question, ms, deadline)
    })
  }

  /** A server has left the cluster: its open questions fail. */
  left(address: string): void {
    for (const [id, asked] of [...this.#asked]) {
      if (asked.address === address && !asked.local) {
        this.#fail(
          id,
          new MetroplexError('EUNREACHABLE', `${address} has left the cluster before it answered.`, {
            address,
            maybe: true
          })
        )
      }
    }
  }

  /**
   * The connection to a server was interrupted.
   *
   * A process without an address receives answers on the connection on which it sent last, so it sends something.
   */
  broken(address: string): void {
    if (this.self() === '') this.#confirm(asked => asked.address === address)
  }

  /**
   * Ask no more; open questions fail with `ECLOSED`. Resolves when their servers are informed, or cannot be; never
   * rejects.
   */
  async close(): Promise<void> {
    this.#closed = true
    const open = new Map<string, number[]>()
    for (const [id, { address, local }] of [...this.#asked]) {
      if (!local) pushTo(open, address, id)
      this.#fail(
        id,
        new MetroplexError('ECLOSED', `metroplex was closed in this process before ${address} had answered.`, {
          address,
          maybe: true
        })
      )
    }
    await Promise.all([...open].map(([address, ids]) => this.#send(address, DROP, ids)))
  }

  /** Why a question cannot be asked; `undefined` when it can. */
  #refusal(address: string, ms: number): MetroplexError | undefined {
    const refused = (code: 'ECLOSED' | 'EDEADLINE' | 'EBUSY', sentence: string): MetroplexError =>
      new MetroplexError(code, sentence, { address, maybe: false })
    if (this.#closed) return refused('ECLOSED', 'metroplex was closed in this process: it asks no more questions.')
    if (ms <= 0) return refused('EDEADLINE', `There was no time left to ask ${address}.`)
    if ((this.#counts.get(address) ?? 0) < this.limit) return undefined
    return refused('EBUSY', `As many questions as \`maxQueue\` allows, ${this.limit}, are open at ${address}.`)
  }

  #here(responder: LocalResponder, id: number, address: string, question: Question, ms: number): void {
    this.#wait(id, address, ms, ms)
    try {
      responder.here(id, question, ms, answer => {
        this.#settle(id, address, answer)
      })
    } catch (error) {
      this.#fail(id, deserializeError(address, serializeError(error), false))
    }
  }

  #there(id: number, address: string, { kind, detail, message }: Question, ms: number, deadline: number): void {
    this.channel
      .carry(address, ASK, [id, kind, ms, detail], message, deadline)
      .then(
        reply => {
          if (typeof reply === 'object' && 'code' in reply) this.#fail(id, deserializeError(address, reply, false))
          else this.#wait(id, address, ms, deadline - now())
        },
        (error: unknown) => {
          const { code, maybe } = error as MetroplexError
          this.#fail(id, code === 'EDEADLINE' ? late(address, ms, maybe === true, error) : asError(error))
        }
      )
      .catch(rethrow)
  }

  /** The server has the question: wait for the answer. @param ms the whole timeout @param left what remains of it */
  #wait(id: number, address: string, ms: number, left: number): void {
    const asked = this.#asked.get(id)
    if (asked === undefined) return
    // Not unref'd: the process must not end while its caller waits.
    asked.timer = setTimeout(
      () => {
        this.#fail(id, late(address, ms, true))
      },
      Math.min(Math.max(left, 1), LONGEST_TIMER)
    )
  }

  #answered({ from, to, message }: ReceivedMessage): Reply {
    const [id, state, error] = to as [number, RpcOutcome['state'], RemoteError | undefined]
    const asked = this.#asked.get(id)
    // A server must not answer a question that another one was asked.
    if (asked === undefined || asked.local || this.channel.addressOf(from) !== asked.address) return 0
    this.#settle(
      id,
      asked.address,
      state === 'value' ? { state, message } : error === undefined ? { state: 'nothing' } : { state: 'error', error }
    )
    return 1
  }

  #settle(id: number, address: string, answer: RpcOutcome): void {
    if (answer.state === 'error') {
      this.#fail(id, deserializeError(address, answer.error, true))
      return
    }
    this.#take(id)?.resolve(answer.state === 'value' ? (answer.message.value as unknown[])[0] : undefined)
  }

  #fail(id: number, error: Error): void {
    this.#take(id)?.reject(error)
  }

  /** The caller gives a question up. Its server is informed, once for all questions of this turn of the event loop. */
  #abort(id: number, error: Error): void {
    const asked = this.#take(id)
    if (asked === undefined) return
    asked.reject(error)
    if (asked.local) {
      this.responder?.drop('', [id])
      return
    }
    pushTo(this.#dropped, asked.address, id)
    // Only the first question of a turn schedules the message.
    if (this.#dropped.size > 1 || this.#dropped.get(asked.address)?.length !== 1) return
    setImmediate(() => {
      const dropped = [...this.#dropped]
      this.#dropped.clear()
      for (const [address, ids] of dropped) this.#send(address, DROP, ids).catch(rethrow)
    })
  }

  /** Confirm to their servers that some open questions are still waited for. */
  #confirm(those: (asked: Asked) => boolean): void {
    const waiting = new Map<string, number[]>()
    for (const [id, asked] of this.#asked) if (!asked.local && those(asked)) pushTo(waiting, asked.address, id)
    for (const [address, ids] of waiting) this.#send(address, WAIT, ids).catch(rethrow)
  }

  /** Send a message about questions. Resolves when it has arrived, or cannot; never rejects. */
  async #send(address: string, kind: string, ids: readonly number[]): Promise<void> {
    const sending: Promise<unknown>[] = []
    for (let first = 0; first < ids.length; first += IDS_PER_MESSAGE) {
      const part = ids.slice(first, first + IDS_PER_MESSAGE)
      sending.push(this.channel.carry(address, kind, part, EMPTY, now() + SEND_TIMEOUT))
    }
    await Promise.allSettled(sending)
  }

  #take(id: number): Asked | undefined {
    const asked = this.#asked.get(id)
    if (asked === undefined) return undefined
    const { address, timer, removeListener } = asked
    clearTimeout(timer)
    removeListener()
    this.#asked.delete(id)
    const others = (this.#counts.get(address) ?? 0) - 1
    if (others > 0) this.#counts.set(address, others)
    else this.#counts.delete(address)
    if (this.#asked.size === 0) {
      clearInterval(this.#timer)
      this.#timer = undefined
    }
    return asked
  }
}

function late(address: string, ms: number, maybe: boolean, cause?: unknown): MetroplexError {
  const sentence = maybe
    ? `${address} did not answer within ${ms} ms.`
    : `${address} could not be asked within ${ms} ms.`
  return new MetroplexError('EDEADLINE', sentence, { address, maybe, ...(cause !== undefined && { cause }) })
}

function checkAnswer({ to, message }: ReceivedMessage): void {
  const [id, state, error] = Array.isArray(to) ? (to as unknown[]) : []
  const fits =
    isId(id) &&
    (state === 'nothing' ||
      (state === 'error' && isRemoteError(error)) ||
      (state === 'value' && Array.isArray(message.value)))
  if (!fits)
    throw new Malformed(
      "An answer must be [number, 'value'], with a list of one value, [number, 'nothing'], " +
        "or [number, 'error', { code, message }]."
    )
}
