import { randomId } from '../signature'

/** The most batches of a sender that may be unanswered at a time, and so the most whose answers are remembered. */
export const WINDOW = 64
/** The most bytes of answers that are remembered besides the last one. */
const MOST_BYTES = 262_144

/** A batch that was applied. With its digest and answer it makes a repetition recognizable. */
export interface AppliedBatch {
  readonly number: number
  readonly digest: string
  answer: string
}

/**
 * The receiving end of a session with one sender: the number of the last batch that was applied, and the answers that
 * the sender may not have. That is the last answer; and once a batch may be answered later, the last 64, within 256 kB.
 */
export class SenderSession {
  readonly id = randomId()
  /** When the sender last sent a request, by `performance.now()`. */
  lastUsed = 0
  /** The last ones, in their order. */
  readonly #applied: AppliedBatch[] = []
  #bytes = 0
  #window = 1

  /** @param to the address or node id that its last hello named */
  constructor(public to: string) {}

  /** The number of the last batch that was applied; 0 for none. */
  get number(): number {
    return this.#applied.at(-1)?.number ?? 0
  }

  /** The batch with this number, if it was applied and is remembered. */
  find(number: number): AppliedBatch | undefined {
    return this.#applied.findLast(batch => batch.number === number)
  }

  /** A batch is about to be applied. From here on it is never applied again. */
  begin(number: number, digest: string, deferrable: boolean): AppliedBatch {
    const batch = { number, digest, answer: '' }
    this.#applied.push(batch)
    if (deferrable) this.#window = WINDOW
    return batch
  }

  /** A batch was applied: remember its answer, and forget the oldest ones. */
  end(batch: AppliedBatch, answer: string): void {
    batch.answer = answer
    this.#bytes += answer.length
    const applied = this.#applied
    while (applied.length > this.#window || (applied.length > 1 && this.#bytes > MOST_BYTES))
      this.#bytes -= applied.shift()?.answer.length ?? 0
  }
}
