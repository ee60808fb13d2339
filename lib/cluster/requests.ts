import { now } from '../deadline'
import { MetroplexError } from '../errors'
import { idOf, Message } from '../message'
import { parcel, type Answers, type Question } from './answers'
import { askHolder, type Located } from './holder'
import type { Questions } from './questions'
import { termsOf } from './terms'

/** Whoever asks the clients of our own sparks. */
export interface Clients {
  /**
   * Look whether a spark can be asked. @returns what asks it, and resolves with its reply
   *
   * @throws MetroplexError `ENOSPARK` when we do not have it, `EUNREACHABLE` when its client understands no requests
   */
  prepare(id: string, value: unknown, signal: AbortSignal): () => Promise<unknown>
}

/** How requests work. */
export interface RequestsTerms {
  /** How long a reply is waited for, in ms. */
  readonly timeout: number
  /** Whether the parser that clients and servers speak with each other carries binary. */
  readonly binary: boolean
}

/** Of questions for the client of a spark, by the id of that. */
const REQUEST = 'request'

/** Asks clients, wherever their sparks are. */
export class Requests {
  constructor(
    private readonly questions: Questions,
    answers: Answers,
    private readonly where: Located,
    clients: Clients,
    private readonly terms: RequestsTerms
  ) {
    answers.handle(REQUEST, ({ detail, value, signal }) => {
      if (typeof detail !== 'string' || !Array.isArray(value)) throw new MetroplexError('EPROTOCOL', 'A request must name its spark, and have a list of one value.')
      return clients.prepare(detail, (value as unknown[])[0], signal)
    })
  }

  /** Ask the client of a spark. Resolves with its reply; `undefined` when that is empty. */
  async request(spark: unknown, msg: unknown, options: unknown): Promise<unknown> {
    const id = idOf(spark)
    const { timeout, signal } = termsOf(options, { timeout: this.terms.timeout, self: true }, ['timeout', 'signal'])
    // What a client gets of it is what it would get of any message.
    const question: Question = { kind: REQUEST, detail: id, message: parcel([Message.of(msg, this.terms.binary).value]) }
    const deadline = now() + timeout
    try {
      return await askHolder(this.where, id, deadline, (address, here) => this.questions.ask(address, question, { deadline, signal }, here), signal)
    } catch (error) {
      if (!(error instanceof MetroplexError) || error.code !== 'EDEADLINE') throw error
      // What it says is of a server, which may be quite well.
      const { address = '', maybe = true } = error
      throw new MetroplexError('EDEADLINE', `The client of the spark ${id} did not reply within ${timeout} ms.`, { address, maybe, cause: error })
    }
  }
}
