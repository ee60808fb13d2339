import { ignore } from '../callback'
import { LONGEST, now } from '../deadline'
import { asError, MetroplexError } from '../errors'
import { file, Message } from '../message'
import { Malformed, type Incoming } from '../transport/envelope'
import type { Reply } from '../transport/reception'
import { isId, type Answered, type Answers, type Question } from './answers'
import { ANSWER, ASK, DROP, NOTHING, WAIT, type Mail } from './mail'
import { isTold, revived, type Told } from './told'

/** For how long an answer is waited for. */
export interface Patience {
  /** By `performance.now()`. */
  readonly deadline: number
  /** Gives it up when it is aborted. */
  readonly signal?: AbortSignal | undefined
}

/** A question that is open. */
interface Asked {
  readonly address: string
  /** When it was asked, by `performance.now()`. */
  readonly began: number
  /** Whether we have asked ourselves. */
  readonly local: boolean
  readonly timer: NodeJS.Timeout
  readonly unlisten: () => void
  readonly resolve: (value: unknown) => void
  readonly reject: (error: Error) => void
}

/** How often we say that we still wait, in ms. Who is silent for three times as long has gone. */
const STILL = 20_000

/** The most questions that one message names. */
const TOGETHER = 1000

/** For how long we try to say that an answer is not wanted any more, in ms. */
const FAREWELL = 5000

/**
 * Asks other servers, and ourselves, and waits for their answers, which travel on their own.
 *
 * Each question has a deadline, and leaves nothing behind: who asks is told at the latest then. Whoever answers is told when nobody waits any more.
 */
export class Questions {
  readonly #asked = new Map<number, Asked>()
  /** Questions that have been given up, by where they were asked. */
  readonly #dropped = new Map<string, number[]>()
  #count = 0
  #timer: NodeJS.Timeout | undefined
  #closed = false

  constructor(
    private readonly mail: Mail,
    private readonly answers: Pick<Answers, 'here' | 'drop'>,
    /** Our own address. */
    private readonly self: () => string
  ) {
    mail.take(ANSWER, { check: checkAnswer, apply: incoming => this.#answered(incoming) })
  }

  /** How many answers are waited for. */
  get size(): number {
    return this.#asked.size
  }

  /**
   * Ask a server, after all that was sent there before.
   *
   * @throws MetroplexError with the server's `address`, and `maybe`; or what the signal was aborted with
   */
  ask(address: string, question: Question, { deadline, signal }: Patience): Promise<unknown> {
    const left = Math.ceil(deadline - now())
    const refused = (code: 'ECLOSED' | 'EDEADLINE', sentence: string): Promise<never> => Promise.reject(new MetroplexError(code, sentence, { address, maybe: false }))
    if (this.#closed) return refused('ECLOSED', 'This server has been destroyed: it asks no more.')
    if (signal?.aborted === true) return Promise.reject(asError(signal.reason))
    if (left <= 0) return refused('EDEADLINE', `There was no time left to ask ${address}.`)
    return new Promise((resolve, reject) => {
      const id = ++this.#count
      const local = address === this.self()
      const dropped = (): void => { this.#give(id, asError(signal?.reason)) }
      signal?.addEventListener('abort', dropped, { once: true })
      // It holds the process, for somebody waits.
      const timer = setTimeout(() => {
        this.#fail(id, new MetroplexError('EDEADLINE', `${address} did not answer within ${left} ms.`, { address, maybe: true }))
      }, Math.min(left, LONGEST))
      this.#asked.set(id, { address, began: now(), local, timer, unlisten: () => { signal?.removeEventListener('abort', dropped) }, resolve, reject })
      this.#timer ??= setInterval(() => { this.#still(({ began }) => now() - began > STILL / 2) }, STILL).unref()
      if (local) this.#here(id, address, question, left)
      else this.#there(id, address, question, left, deadline)
    })
  }

  /** A server has gone, with all that it was asked. */
  left(address: string): void {
    for (const [id, asked] of [...this.#asked]) {
      if (asked.address === address && !asked.local) {
        this.#fail(id, new MetroplexError('EUNREACHABLE', `${address} has left the cluster before it answered.`, { address, maybe: true }))
      }
    }
  }

  /** The way to a server was broken: its answers come to us on the way on which we said something last. */
  broken(address: string): void {
    if (this.self() === '') this.#still(asked => asked.address === address)
  }

  /** Ask nobody any more. What is open fails with `ECLOSED`. */
  close(): void {
    this.#closed = true
    for (const [id, { address }] of [...this.#asked]) {
      this.#fail(id, new MetroplexError('ECLOSED', `This server was destroyed before ${address} had answered.`, { address, maybe: true }))
    }
  }

  #here(id: number, address: string, question: Question, ms: number): void {
    try {
      this.answers.here(id, question, ms, answer => { this.#settle(id, address, answer) })
    } catch (error) {
      this.#fail(id, asError(error))
    }
  }

  #there(id: number, address: string, { kind, detail, message }: Question, ms: number, deadline: number): void {
    this.mail.carry(address, ASK, [id, kind, ms, detail], message, deadline).then(
      reply => { if (typeof reply === 'object' && 'code' in reply) this.#fail(id, revived(address, reply, false)) },
      (error: unknown) => { this.#fail(id, asError(error)) }
    ).catch(ignore)
  }

  #answered({ to, message }: Incoming): Reply {
    const [id, state, error] = to as [number, Answered['state'], Told | undefined]
    const asked = this.#asked.get(id)
    if (asked === undefined) return 0
    this.#settle(id, asked.address, state === 'value' ? { state, message } : error === undefined ? { state: 'nothing' } : { state: 'error', error })
    return 1
  }

  #settle(id: number, address: string, answer: Answered): void {
    if (answer.state === 'error') {
      this.#fail(id, revived(address, answer.error, true))
      return
    }
    this.#take(id)?.resolve(answer.state === 'value' ? (answer.message.value as unknown[])[0] : undefined)
  }

  #fail(id: number, error: Error): void {
    this.#take(id)?.reject(error)
  }

  /** Nobody wants the answer any more; whoever works on it is told, together with what else is given up now. */
  #give(id: number, error: Error): void {
    const asked = this.#take(id)
    if (asked === undefined) return
    asked.reject(error)
    if (asked.local) {
      this.answers.drop('', [id])
      return
    }
    file(this.#dropped, asked.address, id)
    if (this.#dropped.size > 1 || this.#dropped.get(asked.address)?.length !== 1) return
    setImmediate(() => {
      const dropped = [...this.#dropped]
      this.#dropped.clear()
      for (const [address, ids] of dropped) this.#name(address, DROP, ids)
    })
  }

  /** Say of some of what is open that it is still waited for. */
  #still(those: (asked: Asked) => boolean): void {
    const waiting = new Map<string, number[]>()
    for (const [id, asked] of this.#asked) if (!asked.local && those(asked)) file(waiting, asked.address, id)
    for (const [address, ids] of waiting) this.#name(address, WAIT, ids)
  }

  #name(address: string, kind: string, ids: readonly number[]): void {
    for (let first = 0; first < ids.length; first += TOGETHER) {
      this.mail.carry(address, kind, ids.slice(first, first + TOGETHER), EMPTY, now() + FAREWELL).catch(ignore)
    }
  }

  #take(id: number): Asked | undefined {
    const asked = this.#asked.get(id)
    if (asked === undefined) return undefined
    clearTimeout(asked.timer)
    asked.unlisten()
    this.#asked.delete(id)
    if (this.#asked.size === 0) {
      clearInterval(this.#timer)
      this.#timer = undefined
    }
    return asked
  }
}

const EMPTY = Message.of(NOTHING, false)

function checkAnswer({ to, message }: Incoming): void {
  const [id, state, error] = Array.isArray(to) ? to as unknown[] : []
  const fits = isId(id) && (state === 'nothing' || (state === 'error' && isTold(error)) || (state === 'value' && Array.isArray(message.value)))
  if (!fits) throw new Malformed("An answer must be [number, 'value'], with a list of one value, [number, 'nothing'], or [number, 'error', { code, message }].")
}
