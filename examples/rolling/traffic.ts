import type { Forward, Result } from 'metroplex'
import type { Outcome } from './task'

/** What became of messages, by their numbers. */
export type Outcomes = [n: string, outcome: Outcome][]

/** How many results are reported at once. */
const AT_ONCE = 10

/** Sends a message every few milliseconds to the next spark of the cluster, and reports what became of it. */
export class Traffic {
  /** The sparks to send to, in turn. */
  known: readonly string[] = []
  readonly #timer: NodeJS.Timeout
  #sent = 0
  readonly #open = new Set<Promise<void>>()
  #outcomes: Outcomes = []

  /**
   * @param name of the sender, with which its numbers begin
   * @param often how often a message is sent, in ms
   */
  constructor(
    private readonly forward: Pick<Forward, 'spark'>,
    private readonly name: string,
    often: number,
    private readonly told: (outcomes: Outcomes) => void
  ) {
    this.#timer = setInterval(() => {
      this.#send()
    }, often)
  }

  /** Reports the results that have not been reported. */
  tell(): void {
    this.told(this.#outcomes)
    this.#outcomes = []
  }

  /** Stops sending. Resolves when all results have been reported. */
  async end(): Promise<void> {
    clearInterval(this.#timer)
    await Promise.all(this.#open)
    this.tell()
  }

  #send(): void {
    const id = this.known[this.#sent++ % this.known.length]
    if (id === undefined) return
    const n = `${this.name}:${this.#sent}`
    const sending: Promise<void> = this.forward
      .spark(id, { n })
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
