import { rethrow } from '../common/callback'
import { LONGEST_TIMER, now } from '../common/async'
import { MetroplexError, inspectValue } from '../common/errors'
import type { Packer } from '../common/encoded-message'
import { Malformed, type ReceivedMessage, type Reply } from '../transport/envelope'
import type { LocalResponder } from './caller'
import { ANSWER, ASK, DROP, WAIT, type PeerChannel } from './peer-channel'
import { answerChannel, type AnswerTrace } from '../reporting/tracing'
import { CALL, EMPTY, EVENT, isId, parcel, REQUEST, type Question, type RpcOutcome } from './question'
import { serializeError } from './remote-error'

/** A question that is being answered. */
export interface Task {
  readonly detail: unknown
  /** The value of the question's message. */
  readonly value: unknown
  /** The caller's address, which may be the own one; `''` for a process without an address. */
  readonly from: string
  /** Whether this process is the caller. */
  readonly local: boolean
  /** Aborted when the caller no longer waits for the answer. */
  readonly signal: AbortSignal
}

/**
 * Answers questions of a kind: checks that a question can be answered, and returns the work.
 *
 * @returns a function that is called at once, in the order of the questions. Its result is the answer
 * @throws MetroplexError for a question that is refused
 */
export type Prepare = (task: Task) => () => unknown

/** A task without an answer yet. */
interface Running {
  /** The caller's node id; `''` for this process. */
  readonly from: string
  address: string
  /** Of the question's message, in bytes. */
  readonly size: number
  readonly controller: AbortController
  readonly timer: NodeJS.Timeout
  readonly deliver: (answer: RpcOutcome) => void
  /** When the caller last confirmed that it waits, by `performance.now()`. */
  confirmed: number
}

/**
 * A caller confirms every 20 s that it waits. After this long without a confirmation its questions are dropped, in ms.
 */
export const CALLER_SILENCE = 60_000

/**
 * Answers questions of other servers and of this process. Each question is a task, which is aborted when the caller's
 * deadline has passed or the caller gives up.
 *
 * A question is accepted or refused at once. The answer is a message of its own, so that it delays no later message.
 */
export class RpcResponder implements LocalResponder {
  readonly #kinds = new Map<string, Prepare>()
  readonly #running = new Map<string, Running>()
  /** The size of all messages in `#running`. */
  #bytes = 0
  #timer: NodeJS.Timeout | undefined
  #closed = false

  constructor(
    private readonly channel: PeerChannel,
    /** The most tasks at a time, and the most bytes of their messages. */
    private readonly limit: { readonly messages: number; readonly total: number },
    /** The own address. */
    private readonly self: () => string
  ) {
    channel.take(ASK, { check: checkQuestion, apply: incoming => this.#asked(incoming) })
    channel.take(DROP, { check: checkIds, apply: ({ from, to }) => this.drop(from, to as number[]) })
    channel.take(WAIT, { check: checkIds, apply: ({ from, to }) => this.#confirmed(from, to as number[]) })
  }

  /** The number of questions that are being answered. */
  get size(): number {
    return this.#running.size
  }

  /** Answer questions of a kind. */
  handle(kind: string, prepare: Prepare): void {
    this.#kinds.set(kind, prepare)
  }

  here(id: number, question: Question, ms: number, deliver: (answer: RpcOutcome) => void): void {
    this.#begin({ from: '', address: this.self(), id, ms }, question, deliver)
  }

  drop(from: string, ids: readonly number[]): number {
    const reason = new MetroplexError('ECLOSED', 'The caller no longer waits for the answer.')
    return ids.filter(id => this.#end(keyOf(from, id), reason)).length
  }

  /** A server has left the cluster: its questions are dropped. */
  left(address: string): void {
    this.#abandon(running => running.address === address && running.from !== '')
  }

  /** A process without an address is no longer connected: its questions are dropped. */
  lost(from: string): void {
    this.#abandon(running => running.from === from)
  }

  /** Accept no more questions, and answer the open ones with `ECLOSED`. */
  close(): void {
    this.#closed = true
    const error = serializeError(closing())
    for (const { deliver } of this.#running.values()) deliver({ state: 'error', error })
    this.#abandon(() => true)
  }

  #asked({ from, to, message }: ReceivedMessage): Reply {
    const [id, kind, ms, detail] = to as [number, string, number, unknown]
    const until = now() + Math.min(ms, LONGEST_TIMER)
    try {
      if (!this.channel.reaches(from))
        throw new MetroplexError(
          'EUNREACHABLE',
          'An answer could not be sent back, because the connection was not upgraded: ' +
            'have no proxy in between that refuses upgrades.'
        )
      this.#begin({ from, address: this.channel.addressOf(from), id, ms }, { kind, detail, message }, answer => {
        this.#send(from, id, answer, until)
      })
      return 0
    } catch (error) {
      return serializeError(error)
    }
  }

  #begin(
    caller: { from: string; address: string; id: number; ms: number },
    { kind, detail, message }: Question,
    deliver: (answer: RpcOutcome) => void
  ): void {
    const { from, address, id, ms } = caller
    const { size } = message
    const { messages, total } = this.limit
    const key = keyOf(from, id)
    const prepare = this.#kinds.get(kind)
    if (this.#closed) throw closing()
    if (prepare === undefined)
      throw new MetroplexError('EPROTOCOL', `Questions of the kind ${inspectValue(kind)} are not known here.`)
    if (this.#running.has(key))
      throw new MetroplexError('EPROTOCOL', `A question with the number ${id} is being answered already.`)
    const full =
      this.#running.size >= messages ? `${messages} questions` : this.#bytes + size > total ? `${total} bytes` : ''
    if (full !== '')
      throw new MetroplexError('EBUSY', `More is being answered here than allowed, ${full}: see \`maxQueue\`.`)
    const controller = new AbortController()
    const work = prepare({ detail, value: message.value, from: address, local: from === '', signal: controller.signal })
    const timer = setTimeout(
      () => {
        this.#end(key, new MetroplexError('EDEADLINE', `The caller's timeout of ${ms} ms has passed.`))
      },
      Math.min(ms, LONGEST_TIMER)
    ).unref()
    const running = { from, address, size, controller, timer, deliver, confirmed: now() }
    this.#running.set(key, running)
    this.#bytes += size
    this.#timer ??= setInterval(() => {
      this.#dropSilent()
    }, CALLER_SILENCE / 2).unref()
    outcome(tracing(work, kind, detail, { from: address, local: from === '' }), message.packed?.by)
      .then(answer => {
        if (this.#running.get(key) !== running) return
        this.#settle(key, running)
        deliver(answer)
      })
      .catch(rethrow)
  }

  #send(from: string, id: number, answer: RpcOutcome, until: number): void {
    const { state } = answer
    const detail = state === 'error' ? [id, state, answer.error] : [id, state]
    const message = state === 'value' ? answer.message : EMPTY
    this.channel.back(from, ANSWER, detail, message, until).catch((error: unknown) => {
      // Without another answer the caller would wait until its deadline.
      const large = error instanceof MetroplexError && error.code === 'ETOOBIG' && state !== 'error'
      if (large) this.#send(from, id, { state: 'error', error: serializeError(error) }, until)
    })
  }

  #confirmed(from: string, ids: readonly number[]): number {
    const found = ids.map(id => this.#running.get(keyOf(from, id))).filter(running => running !== undefined)
    for (const running of found) {
      running.confirmed = now()
      // The caller may have registered an address since it asked.
      running.address = this.channel.addressOf(from)
    }
    return found.length
  }

  #dropSilent(): void {
    const silent = now() - CALLER_SILENCE
    this.#abandon(({ from, confirmed }) => from !== '' && confirmed < silent)
  }

  #abandon(which: (running: Running) => boolean): void {
    for (const [key, running] of [...this.#running]) {
      if (which(running))
        this.#end(key, this.#closed ? closing() : new MetroplexError('ECLOSED', 'The caller is gone.'))
    }
  }

  /** Abort a task; its answer is not sent. @returns whether it was open */
  #end(key: string, why: MetroplexError): boolean {
    const running = this.#running.get(key)
    if (running === undefined) return false
    this.#settle(key, running)
    running.controller.abort(why)
    return true
  }

  #settle(key: string, { timer, size }: Running): void {
    clearTimeout(timer)
    this.#running.delete(key)
    this.#bytes -= size
    if (this.#running.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }
}

function closing(): MetroplexError {
  return new MetroplexError('ECLOSED', 'This server is shutting down.')
}

function keyOf(from: string, id: number): string {
  return `${id} ${from}`
}

/** The work of a call, event or request, traced if there is a subscriber. */
function tracing(
  work: () => unknown,
  kind: string,
  detail: unknown,
  caller: Pick<AnswerTrace, 'from' | 'local'>
): () => unknown {
  if (!answerChannel.hasSubscribers || !isTraced(kind)) return work
  const context = { kind, name: String(Array.isArray(detail) ? (detail as unknown[])[0] : detail), ...caller }
  // eslint-disable-next-line @typescript-eslint/require-await -- it must be called at once, and may throw
  return () => answerChannel.tracePromise(async () => work(), context)
}

function isTraced(kind: string): kind is AnswerTrace['kind'] {
  return kind === CALL || kind === EVENT || kind === REQUEST
}

/** Run a task. Its value is encoded by the parser with which the question was. */
async function outcome(work: () => unknown, parser: Packer | undefined): Promise<RpcOutcome> {
  try {
    const value = await work()
    return value === undefined
      ? { state: 'nothing' }
      : { state: 'value', message: parser === undefined ? parcel([value]) : parser.message([value]) }
  } catch (error) {
    return { state: 'error', error: serializeError(error) }
  }
}

function checkQuestion({ to }: ReceivedMessage): void {
  const [id, kind, ms] = Array.isArray(to) && to.length === 4 ? (to as unknown[]) : []
  if (!isId(id) || typeof kind !== 'string' || !isId(ms))
    throw new Malformed('A question must be [number, kind, milliseconds, detail], with whole numbers above 0.')
}

function checkIds({ to }: ReceivedMessage): void {
  if (!Array.isArray(to) || !(to as unknown[]).every(isId))
    throw new Malformed('Questions must be named by a list of whole numbers above 0.')
}
