import { crash } from '../callback'
import { heed, LONGEST, now } from '../deadline'
import { asError, MetroplexError } from '../errors'
import { file, Message } from '../message'
import { Malformed, type Incoming } from '../transport/envelope'
import type { Reply } from '../transport/reception'
import { isId, type Answered, type Answers, type Question } from './answers'
import { ANSWER, ASK, DROP, NOTHING, WAIT, type Mail } from './mail'
import { isTold, revived, told, type Told } from './told'

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
  /** Once whoever was asked has it: before that it is bounded on its way. */
  timer: NodeJS.Timeout | undefined
  readonly unheed: () => void
  readonly resolve: (value: unknown) => void
  readonly reject: (error: Error) => void
}

/** How often we say that we still wait, in ms. Who is silent for three times as long has gone. */
export const STILL = 20_000

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
  /** How many of them, by where they were asked. */
  readonly #counts = new Map<string, number>()
  /** Questions that have been given up, by where they were asked. */
  readonly #dropped = new Map<string, number[]>()
  #count = 0
  #timer: NodeJS.Timeout | undefined
  #closed = false

  constructor(
    private readonly mail: Mail,
    private readonly answers: Pick<Answers, 'here' | 'drop'>,
    /** Our own address. */
    private readonly self: () => string,
    /** The most that one server is asked at a time. */
    private readonly most: number
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
   * @param here whether we ask ourselves, by whatever address
   * @throws MetroplexError with the server's `address`, and `maybe`; or what the signal was aborted with
   */
  ask(address: string, question: Question, { deadline, signal }: Patience, here = address === this.self()): Promise<unknown> {
    const ms = Math.ceil(deadline - now())
    const refusal = signal?.aborted === true ? asError(signal.reason) : this.#refusal(address, ms)
    if (refusal !== undefined) return Promise.reject(refusal)
    return new Promise((resolve, reject) => {
      const id = ++this.#count
      const unheed = heed(signal, () => { this.#give(id, asError(signal?.reason)) })
      this.#asked.set(id, { address, began: now(), local: here, timer: undefined, unheed, resolve, reject })
      this.#counts.set(address, (this.#counts.get(address) ?? 0) + 1)
      this.#timer ??= setInterval(() => { this.#still(({ began }) => now() - began > STILL / 2) }, STILL).unref()
      if (here) this.#here(id, address, question, ms)
      else this.#there(id, address, question, ms, deadline)
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

  /** Ask nobody any more. What is open fails with `ECLOSED`. Resolves when those who work on it have been told, or cannot be; never rejects. */
  async close(): Promise<void> {
    this.#closed = true
    const open = new Map<string, number[]>()
    for (const [id, { address, local }] of [...this.#asked]) {
      if (!local) file(open, address, id)
      this.#fail(id, new MetroplexError('ECLOSED', `This server was destroyed before ${address} had answered.`, { address, maybe: true }))
    }
    await Promise.all([...open].map(([address, ids]) => this.#name(address, DROP, ids)))
  }

  /** Why nothing is asked at all. */
  #refusal(address: string, ms: number): MetroplexError | undefined {
    const refused = (code: 'ECLOSED' | 'EDEADLINE' | 'EBUSY', sentence: string): MetroplexError => new MetroplexError(code, sentence, { address, maybe: false })
    if (this.#closed) return refused('ECLOSED', 'This server has been destroyed: it asks no more.')
    if (ms <= 0) return refused('EDEADLINE', `There was no time left to ask ${address}.`)
    if ((this.#counts.get(address) ?? 0) < this.most) return undefined
    return refused('EBUSY', `More answers of ${address} are waited for than allowed, ${this.most}: see \`maxQueue\`.`)
  }

  #here(id: number, address: string, question: Question, ms: number): void {
    this.#wait(id, address, ms, ms)
    try {
      this.answers.here(id, question, ms, answer => { this.#settle(id, address, answer) })
    } catch (error) {
      this.#fail(id, revived(address, told(error), false))
    }
  }

  #there(id: number, address: string, { kind, detail, message }: Question, ms: number, deadline: number): void {
    this.mail.carry(address, ASK, [id, kind, ms, detail], message, deadline).then(
      reply => {
        if (typeof reply === 'object' && 'code' in reply) this.#fail(id, revived(address, reply, false))
        else this.#wait(id, address, ms, deadline - now())
      },
      (error: unknown) => {
        const { code, maybe } = error as MetroplexError
        this.#fail(id, code === 'EDEADLINE' ? late(address, ms, maybe === true, error) : asError(error))
      }
    ).catch(crash)
  }

  /** It has been taken: from now on the answer is waited for, for so many ms of those that there were. */
  #wait(id: number, address: string, ms: number, left: number): void {
    const asked = this.#asked.get(id)
    if (asked === undefined) return
    // It holds the process, for somebody waits.
    asked.timer = setTimeout(() => { this.#fail(id, late(address, ms, true)) }, Math.min(Math.max(left, 1), LONGEST))
  }

  #answered({ from, to, message }: Incoming): Reply {
    const [id, state, error] = to as [number, Answered['state'], Told | undefined]
    const asked = this.#asked.get(id)
    // Nobody answers for another one.
    if (asked === undefined || asked.local || this.mail.addressOf(from) !== asked.address) return 0
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
      for (const [address, ids] of dropped) this.#name(address, DROP, ids).catch(crash)
    })
  }

  /** Say of some of what is open that it is still waited for. */
  #still(those: (asked: Asked) => boolean): void {
    const waiting = new Map<string, number[]>()
    for (const [id, asked] of this.#asked) if (!asked.local && those(asked)) file(waiting, asked.address, id)
    for (const [address, ids] of waiting) this.#name(address, WAIT, ids).catch(crash)
  }

  /** Say something of questions. Resolves when that has been heard, or cannot be. */
  async #name(address: string, kind: string, ids: readonly number[]): Promise<void> {
    const said: Promise<unknown>[] = []
    for (let first = 0; first < ids.length; first += TOGETHER) {
      said.push(this.mail.carry(address, kind, ids.slice(first, first + TOGETHER), EMPTY, now() + FAREWELL))
    }
    await Promise.allSettled(said)
  }

  #take(id: number): Asked | undefined {
    const asked = this.#asked.get(id)
    if (asked === undefined) return undefined
    const { address, timer, unheed } = asked
    clearTimeout(timer)
    unheed()
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

const EMPTY = Message.of(NOTHING, false)

function late(address: string, ms: number, maybe: boolean, cause?: unknown): MetroplexError {
  const sentence = maybe ? `${address} did not answer within ${ms} ms.` : `${address} could not be asked within ${ms} ms.`
  return new MetroplexError('EDEADLINE', sentence, { address, maybe, ...cause !== undefined && { cause } })
}

function checkAnswer({ to, message }: Incoming): void {
  const [id, state, error] = Array.isArray(to) ? to as unknown[] : []
  const fits = isId(id) && (state === 'nothing' || (state === 'error' && isTold(error)) || (state === 'value' && Array.isArray(message.value)))
  if (!fits) throw new Malformed("An answer must be [number, 'value'], with a list of one value, [number, 'nothing'], or [number, 'error', { code, message }].")
}
