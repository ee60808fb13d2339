import { crash } from '../callback'
import { LONGEST, now } from '../deadline'
import { MetroplexError, shown } from '../errors'
import { Message } from '../message'
import { Malformed, type Incoming } from '../transport/envelope'
import type { Reply } from '../transport/reception'
import { ANSWER, ASK, DROP, NOTHING, WAIT, type Mail } from './mail'
import { told, type Told } from './told'

/** What one server asks of another: a kind, what it is about, and the values that go with it. */
export interface Question {
  readonly kind: string
  /** A JSON value. */
  readonly detail: unknown
  readonly message: Message
}

/** A question that is being answered. */
export interface Task {
  readonly detail: unknown
  /** What was sent along. */
  readonly value: unknown
  /** The address of the server that asks, our own among them; `''` for who has none. */
  readonly from: string
  /** Whether we ask ourselves. */
  readonly local: boolean
  /** Aborted when nobody waits for the answer any more. */
  readonly signal: AbortSignal
}

/**
 * How questions of a kind are answered: looks whether one can be, and says how.
 *
 * @returns what does it: begun at once, in the order of the questions. What it returns or resolves with is the answer
 * @throws MetroplexError for what is refused at once
 */
export type Prepare = (task: Task) => () => unknown

/** What came of a question. */
export type Answered =
  | { readonly state: 'value'; readonly message: Message }
  | { readonly state: 'nothing' }
  | { readonly state: 'error'; readonly error: Told }

/** A task whose answer is still open. */
interface Running {
  /** The word of the process that asks; `''`: we ourselves. */
  readonly from: string
  address: string
  /** Of what was sent along, in bytes. */
  readonly size: number
  readonly controller: AbortController
  readonly timer: NodeJS.Timeout
  readonly deliver: (answer: Answered) => void
  /** When the asker was heard last, by `performance.now()`. */
  heard: number
}

/** An asker that waits says so every 20 s. One that has been silent for this long is gone, in ms. */
export const SILENCE = 60_000

/**
 * Answers what other servers ask, and we ourselves: one task for each question, which has the asker's deadline and ends with the asker's interest in it.
 *
 * A question is taken or refused at once; its answer travels on its own, so that what stands behind it is not delayed.
 */
export class Answers {
  readonly #kinds = new Map<string, Prepare>()
  readonly #running = new Map<string, Running>()
  /** Of all that was sent along, in bytes. */
  #bytes = 0
  #timer: NodeJS.Timeout | undefined
  #closed = false

  constructor(
    private readonly mail: Mail,
    /** The most tasks at a time, and the most bytes of what was sent along with all of them. */
    private readonly most: { readonly messages: number; readonly total: number },
    /** Our own address. */
    private readonly self: () => string
  ) {
    mail.take(ASK, { check: checkQuestion, apply: incoming => this.#asked(incoming) })
    mail.take(DROP, { check: checkIds, apply: ({ from, to }) => this.drop(from, to as number[]) })
    mail.take(WAIT, { check: checkIds, apply: ({ from, to }) => this.#heard(from, to as number[]) })
  }

  /** How many questions are being answered. */
  get size(): number {
    return this.#running.size
  }

  /** Answer questions of a kind. */
  handle(kind: string, prepare: Prepare): void {
    this.#kinds.set(kind, prepare)
  }

  /**
   * Answer a question of our own.
   *
   * @param deliver called once with what came of it, unless it is dropped before
   * @throws MetroplexError when it is refused
   */
  here(id: number, question: Question, ms: number, deliver: (answer: Answered) => void): void {
    this.#begin({ from: '', address: this.self(), id, ms }, question, deliver)
  }

  /** Questions of a process that it has given up. @returns how many were still open */
  drop(from: string, ids: readonly number[]): number {
    return ids.filter(id => this.#end(keyOf(from, id), new MetroplexError('ECLOSED', 'Whoever asked has given it up.'))).length
  }

  /** A server has gone, with all that it has asked. */
  left(address: string): void {
    this.#abandon(running => running.address === address && running.from !== '')
  }

  /** A process that has no address has gone, with all that it has asked. */
  lost(from: string): void {
    this.#abandon(running => running.from === from)
  }

  /** Answer nothing any more. Who still waits is told so. */
  close(): void {
    this.#closed = true
    const error = told(closing())
    for (const { deliver } of this.#running.values()) deliver({ state: 'error', error })
    this.#abandon(() => true)
  }

  #asked({ from, to, message }: Incoming): Reply {
    const [id, kind, ms, detail] = to as [number, string, number, unknown]
    const until = now() + Math.min(ms, LONGEST)
    try {
      if (!this.mail.reaches(from)) throw new MetroplexError('EUNREACHABLE', 'An answer could not be sent back, because the connection was not upgraded: have no proxy in between that refuses upgrades.')
      this.#begin({ from, address: this.mail.addressOf(from), id, ms }, { kind, detail, message }, answer => {
        this.#send(from, id, answer, until)
      })
      return 0
    } catch (error) {
      return told(error)
    }
  }

  #begin(asker: { from: string; address: string; id: number; ms: number }, { kind, detail, message }: Question, deliver: (answer: Answered) => void): void {
    const { from, address, id, ms } = asker
    const { size } = message
    const { messages, total } = this.most
    const key = keyOf(from, id)
    const prepare = this.#kinds.get(kind)
    if (this.#closed) throw closing()
    if (prepare === undefined) throw new MetroplexError('EPROTOCOL', `Questions of the kind ${shown(kind)} are not known here.`)
    if (this.#running.has(key)) throw new MetroplexError('EPROTOCOL', `A question with the number ${id} is being answered already.`)
    const full = this.#running.size >= messages ? `${messages} questions` : this.#bytes + size > total ? `${total} bytes` : ''
    if (full !== '') throw new MetroplexError('EBUSY', `More is being answered here than allowed, ${full}: see \`maxQueue\`.`)
    const controller = new AbortController()
    const work = prepare({ detail, value: message.value, from: address, local: from === '', signal: controller.signal })
    const timer = setTimeout(() => { this.#end(key, new MetroplexError('EDEADLINE', `Whoever asked waited for ${ms} ms.`)) }, Math.min(ms, LONGEST)).unref()
    const running = { from, address, size, controller, timer, deliver, heard: now() }
    this.#running.set(key, running)
    this.#bytes += size
    this.#timer ??= setInterval(() => { this.#tidy() }, SILENCE / 2).unref()
    outcome(work).then(answer => {
      if (this.#running.get(key) !== running) return
      this.#settle(key, running)
      deliver(answer)
    }).catch(crash)
  }

  #send(from: string, id: number, answer: Answered, until: number): void {
    const { state } = answer
    const detail = state === 'error' ? [id, state, answer.error] : [id, state]
    const message = state === 'value' ? answer.message : EMPTY
    this.mail.back(from, ANSWER, detail, message, until).catch((error: unknown) => {
      // Whoever asked hears nothing else, and would wait until the end.
      const large = error instanceof MetroplexError && error.code === 'ETOOBIG' && state !== 'error'
      if (large) this.#send(from, id, { state: 'error', error: told(error) }, until)
    })
  }

  #heard(from: string, ids: readonly number[]): number {
    const found = ids.map(id => this.#running.get(keyOf(from, id))).filter(running => running !== undefined)
    for (const running of found) {
      running.heard = now()
      // It may have joined since it asked.
      running.address = this.mail.addressOf(from)
    }
    return found.length
  }

  #tidy(): void {
    const silent = now() - SILENCE
    this.#abandon(({ from, heard }) => from !== '' && heard < silent)
  }

  #abandon(which: (running: Running) => boolean): void {
    for (const [key, running] of [...this.#running]) {
      if (which(running)) this.#end(key, this.#closed ? closing() : new MetroplexError('ECLOSED', 'Whoever asked has gone.'))
    }
  }

  /** Whatever comes of it, nobody wants to know. @returns whether it was open */
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

const EMPTY = Message.of(NOTHING, false)

function closing(): MetroplexError {
  return new MetroplexError('ECLOSED', 'This server is shutting down.')
}

function keyOf(from: string, id: number): string {
  return `${id} ${from}`
}

/**
 * A value as it travels: in a list, because not every value can stand alone.
 *
 * @throws MetroplexError `EMESSAGE` for what no message can carry
 */
export function parcel(values: readonly unknown[]): Message {
  const refused = (given: unknown, cause?: unknown): MetroplexError =>
    new MetroplexError('EMESSAGE', `What goes to other servers must be a value that JSON can express, or binary; given: ${shown(given)}.`, { cause })
  for (const value of values) if (typeof value === 'function' || typeof value === 'symbol') throw refused(value)
  try {
    return Message.of(values, true)
  } catch (error) {
    throw refused(values.length === 1 ? values[0] : values, error instanceof MetroplexError ? error.cause : error)
  }
}

async function outcome(work: () => unknown): Promise<Answered> {
  try {
    const value = await work()
    return value === undefined ? { state: 'nothing' } : { state: 'value', message: parcel([value]) }
  } catch (error) {
    return { state: 'error', error: told(error) }
  }
}

function checkQuestion({ to }: Incoming): void {
  const [id, kind, ms] = Array.isArray(to) && to.length === 4 ? to as unknown[] : []
  if (!isId(id) || typeof kind !== 'string' || !isId(ms)) throw new Malformed('A question must be [number, kind, milliseconds, detail], with whole numbers above 0.')
}

function checkIds({ to }: Incoming): void {
  if (!Array.isArray(to) || !(to as unknown[]).every(isId)) throw new Malformed('Questions must be named by a list of whole numbers above 0.')
}

/** Whether something can be the number of a question. */
export function isId(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) > 0
}

