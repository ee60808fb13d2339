import { once } from 'node:events'
import { Agent, request, type IncomingMessage } from 'node:http'
import { setTimeout as pause } from 'node:timers/promises'
import { adopt } from '../support/dispose'

/** How long each way rests between two requests, in ms: servers are to have time for others as well. */
const REST = 20

/** Requests to a port, one after the other, on so many ways at once, until it is told to stop. */
export class Requests {
  /** What has become of them: process ids that have answered, and how often. */
  readonly answered = new Map<string, number>()
  /** Those that have failed: why. */
  readonly failed: string[] = []
  /** How many have been answered on a connection that had been used before. */
  reused = 0
  readonly #agent: Agent
  readonly #loops: Promise<void>[]
  #going = true

  /**
   * Begin. Inside a test it ends with that.
   *
   * @param keepAlive whether connections are used again, or each request comes on one of its own
   */
  constructor(
    private readonly url: string,
    keepAlive: boolean,
    ways: number
  ) {
    this.#agent = new Agent({ keepAlive })
    this.#loops = Array.from({ length: ways }, () => this.#loop())
    adopt(() => this.stop())
  }

  /** How many have been answered. */
  get count(): number {
    return [...this.answered.values()].reduce((sum, times) => sum + times, 0)
  }

  /** Resolves when the last answer has come. */
  async stop(): Promise<void> {
    this.#going = false
    await Promise.all(this.#loops)
    this.#agent.destroy()
  }

  async #loop(): Promise<void> {
    while (this.#going) {
      try {
        const pid = await this.#ask()
        this.answered.set(pid, (this.answered.get(pid) ?? 0) + 1)
      } catch (error) {
        this.failed.push(String(error))
      }
      await pause(REST)
    }
  }

  async #ask(): Promise<string> {
    const asking = request(this.url, { agent: this.#agent, timeout: 10_000 }).on('timeout', () => {
      asking.destroy(new Error('no answer within 10 s'))
    })
    asking.end()
    const [answer] = (await once(asking, 'response')) as [IncomingMessage]
    let text = ''
    for await (const chunk of answer) text += String(chunk)
    if (answer.statusCode !== 200) throw new Error(`status ${answer.statusCode ?? 0}`)
    if (asking.reusedSocket) this.reused++
    return text
  }
}
