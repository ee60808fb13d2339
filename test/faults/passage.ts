import { openClient, type Client } from '../support/client'
import { reservePort } from '../support/ports'
import { startProxy, type TcpProxy } from '../support/proxy'
import type { ServerOptions, ServerProcess } from '../support/server'
import type { Ground } from './ground'
import type { Row } from './row'

/** How servers talk to each other. */
export type Transport = 'http' | 'redis'

/** The transports that rows about messages are provoked on. */
export const TRANSPORTS: readonly Transport[] = ['http', 'redis']

/** A row for each transport. */
export function each(row: (transport: Transport) => Row): Row[] {
  return TRANSPORTS.map(transport => {
    const made = row(transport)
    return transport === 'http' ? made : { ...made, fault: `${made.fault}; over Redis` }
  })
}

/**
 * A server to which its peers, or from which it itself, come only through a proxy: by HTTP the proxy stands at the
 * server's address, over Redis between the server and Redis.
 */
export class Passage {
  #server: ServerProcess | undefined

  private constructor(
    private readonly ground: Ground,
    private readonly transport: Transport,
    readonly proxy: TcpProxy,
    private readonly port: number,
    private readonly primus: Record<string, unknown>,
    private readonly more: Partial<ServerOptions>
  ) {}

  /** Start a server behind a proxy. */
  static async to(
    ground: Ground,
    transport: Transport,
    primus: Record<string, unknown> = {},
    more: Partial<ServerOptions> = {}
  ): Promise<Passage> {
    const port = await reservePort()
    const proxy = await startProxy({ port: transport === 'http' ? port : ground.redis.port })
    const passage = new Passage(ground, transport, proxy, port, primus, more)
    await passage.start()
    return passage
  }

  /** The server; another one after `start`. */
  get server(): ServerProcess {
    if (this.#server === undefined) throw new Error('no server has been started here')
    return this.#server
  }

  /** Where peers find it: the same for every server that is started here. */
  get address(): string {
    return `http://127.0.0.1:${this.transport === 'http' ? this.proxy.port : this.port}`
  }

  /** Start a server here, once more when the former one has ended. */
  async start(): Promise<ServerProcess> {
    const { ground, transport, proxy, port, more, address } = this
    const { metroplex = {}, ...rest } = this.primus as { metroplex?: object }
    const redis =
      transport === 'http' ? {} : { redis: { host: '127.0.0.1', port: proxy.port, namespace: ground.space } }
    return (this.#server = await ground.start(
      { address, metroplex: { transport, ...metroplex }, ...rest },
      { port, omega: false, ...redis, ...more }
    ))
  }
}

/** Two servers, each behind a proxy, and a client of the second one. */
export interface Pair {
  readonly a: Passage
  readonly b: Passage
  readonly client: Client
}

/** Start them; resolves once the registry says so. */
export async function pair(ground: Ground, transport: Transport, primus: Record<string, unknown>): Promise<Pair> {
  const a = await Passage.to(ground, transport, primus)
  const b = await Passage.to(ground, transport, primus)
  const client = await openClient(b.server.url)
  await ground.settled(a.server, b.server)
  return { a, b, client }
}

/** What came of numbered messages. */
export interface Outcome {
  /** How many were sent. */
  readonly sent: number
  /**
   * Those that did not go well: number, code, and whether they may have arrived; `missing` for an id that was not
   * found.
   */
  readonly bad: readonly { readonly n: number; readonly code: string; readonly maybe: boolean }[]
  /** The longest that one took, in ms. */
  readonly longest: number
}

/** Messages that a server sends one of its peers' sparks, numbered in the order of the calls: `[name, number]`. */
export class Flow {
  private constructor(
    private readonly server: ServerProcess,
    private readonly name: string
  ) {}

  /**
   * Begin.
   *
   * @param callers - How many send, each one waiting for its own before the next
   * @param pause - Before the next, in ms
   * @param unawaited - Whether no caller waits for every second message; what became of it is noted at the end
   */
  static async start(
    server: ServerProcess,
    name: string,
    id: string,
    options: { callers?: number; pause?: number; first?: number; most?: number; unawaited?: boolean } = {}
  ): Promise<Flow> {
    const { callers = 4, pause = 1, first = 0, most = Infinity, unawaited = false } = options
    await server.run(
      (
        primus,
        name: string,
        id: string,
        callers: number,
        pause: number,
        first: number,
        most: number,
        unawaited: boolean
      ) => {
        type Result = { ok: boolean; missing?: string[]; failed?: { code: string; maybe: boolean }[] }
        const { forward } = primus as unknown as { forward: { spark(id: string, msg: unknown): Promise<Result> } }
        const flow = {
          going: true,
          sent: first,
          longest: 0,
          bad: [] as { n: number; code: string; maybe: boolean }[],
          left: [] as (() => Promise<void>)[],
          done: Promise.resolve() as Promise<unknown>
        }
        const flows = ((globalThis as { flows?: Record<string, unknown> }).flows ??= {})
        flows[name] = flow
        const note = async (n: number, result: Promise<Result>): Promise<void> => {
          try {
            const { ok, missing, failed } = await result
            if (!ok)
              flow.bad.push({
                n,
                code: failed?.[0]?.code ?? (missing ? 'missing' : 'unknown'),
                maybe: failed?.[0]?.maybe === true
              })
          } catch (error) {
            const { code = 'thrown', maybe = false } = error as { code?: string; maybe?: boolean }
            flow.bad.push({ n, code, maybe })
          }
        }
        const caller = async (): Promise<void> => {
          while (flow.going && flow.sent < most) {
            const n = flow.sent++
            const began = performance.now()
            const result = forward.spark(id, [name, n])
            if (unawaited && n % 2 === 1) {
              flow.left.push(() => note(n, result))
            } else {
              await note(n, result)
              flow.longest = Math.max(flow.longest, performance.now() - began)
            }
            if (pause > 0) await new Promise(resolve => setTimeout(resolve, pause))
          }
        }
        flow.done = Promise.all(Array.from({ length: callers }, caller))
      },
      name,
      id,
      callers,
      pause,
      first,
      most,
      unawaited
    )
    return new Flow(server, name)
  }

  /** How many have been sent so far. */
  async sent(): Promise<number> {
    return await this.server.run(
      (_primus, name: string) =>
        (globalThis as unknown as { flows: Record<string, { sent: number }> }).flows[name]?.sent ?? 0,
      this.name
    )
  }

  /** Send no more, and wait until all that was sent has come to an end. */
  async stop(): Promise<Outcome> {
    return await this.server.run(async (_primus, name: string) => {
      type Going = {
        going: boolean
        sent: number
        longest: number
        bad: { n: number; code: string; maybe: boolean }[]
        left: (() => Promise<void>)[]
        done: Promise<unknown>
      }
      const flow = (globalThis as unknown as { flows: Record<string, Going> }).flows[name]
      if (flow === undefined) throw new Error('no such flow')
      flow.going = false
      await flow.done
      for (const note of flow.left) await note()
      return { sent: flow.sent, bad: flow.bad, longest: flow.longest }
    }, this.name)
  }
}

/** How what came in differs from what was to come. */
export interface Verdict {
  readonly lost: number[]
  readonly doubled: number[]
  readonly disordered: number
}

/**
 * Compare the numbers that a spark was sent under a name with those that were sent to it; `excused`: those that need
 * not have arrived.
 */
export function judge(
  messages: readonly unknown[],
  name: string,
  sent: number,
  excused: ReadonlySet<number> = new Set()
): Verdict {
  const numbers = numbersOf(messages, name)
  const seen = new Set<number>()
  const doubled: number[] = []
  let disordered = 0
  let last = -1
  for (const n of numbers) {
    if (seen.has(n)) doubled.push(n)
    else if (n < last) disordered++
    seen.add(n)
    last = Math.max(last, n)
  }
  const lost: number[] = []
  for (let n = 0; n < sent; n++) if (!seen.has(n) && !excused.has(n)) lost.push(n)
  return { lost, doubled, disordered }
}

/** The numbers of the messages of a name, as they came. */
export function numbersOf(messages: readonly unknown[], name: string): number[] {
  const numbers: number[] = []
  for (const message of messages as readonly [string, number][])
    if (Array.isArray(message) && message[0] === name) numbers.push(message[1])
  return numbers
}

/** One of the counters of a server. */
export async function counter(server: ServerProcess, name: string): Promise<number> {
  const { counters } = (await server.call('metroplex.stats')) as { counters: Record<string, number> }
  return counters[name] ?? NaN
}
