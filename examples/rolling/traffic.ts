import type { Forward, Result } from 'metroplex'
import type { Outcome } from './task'

/** What has become of messages, by their numbers. */
export type Outcomes = [n: string, outcome: Outcome][]

/** How many of them are told at once. */
const AT_ONCE = 10

/**
 * Sends a message every few milliseconds to a spark of the cluster, wherever it is, and tells what has become of each.
 */
export class Traffic {
  /** To whom: to one after the other. */
  known: readonly string[] = []
  readonly #timer: NodeJS.Timeout
  #sent = 0
  readonly #open = new Set<Promise<void>>()
  #outcomes: Outcomes = []

  /**
   * @param name of the sender, with which its numbers begin
   * @param often how often a message is sent, in ms
   */
  constructor(private readonly forward: Pick<Forward, 'spark'>, private readonly name: string, often: number, private readonly told: (outcomes: Outcomes) => void) {
    this.#timer = setInterval(() => { this.#send() }, often)
  }

  /** Tell what has not been told. */
  tell(): void {
    this.told(this.#outcomes)
    this.#outcomes = []
  }

  /** Send no more. Resolves when all has been told. */
  async end(): Promise<void> {
    clearInterval(this.#timer)
    await Promise.all(this.#open)
    this.tell()
  }

  #send(): void {
    const id = this.known[this.#sent++ % this.known.length]
    if (id === undefined) return
    const n = `${this.name}:${this.#sent}`
    const sending: Promise<void> = this.forward.spark(id, { n })
      .then(outcomeOf, (): Outcome => 'failed')
      .then(outcome => {
        this.#outcomes.push([n, outcome])
        this.#open.delete(sending)
      })
    this.#open.add(sending)
    if (this.#outcomes.length >= AT_ONCE) this.tell()
  }
}

function outcomeOf({ ok, missing, failed }: Result): Outcome {
  if (ok) return 'sent'
  if (missing !== undefined) return 'missing'
  return failed?.some(({ maybe }) => maybe) === true ? 'unknown' : 'failed'
}
