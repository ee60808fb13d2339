import type { ChildProcess } from 'node:child_process'
import EventEmitter from 'eventemitter3'
import { adopt, type Scope } from './dispose'
import { killAtExit } from './orphans'
import type { DestroyOptions, PrimusUnderTest } from './primus-types'
import type { RedisTarget } from './redis-target'
import { giveProcess, takeProcess } from './server-pool'
import { RemoteError, unpack, type Order, type Report, type ServerSettings } from './server-wire'
import { deadline, eventually } from './wait'

const patience = 10_000
/** Longer than any deadline of the plugin's own, so that it is the plugin's which is seen. */
const endurance = 15_000
const servers = new Set<ServerProcess>()

/** How to start a server in a process of its own. */
export interface ServerOptions {
  /** The registry: a url or ioredis's options, of Sentinels and a Cluster too; and the plugin's `namespace` option. */
  redis: RedisTarget & { namespace?: string }
  /** Options for Primus, metroplex's included, as far as they survive structured cloning. @default {} */
  primus?: Record<string, unknown>
  /** Whether to load omega-supreme, and whether before or after metroplex; `true` is before. @default false */
  omega?: boolean | 'before' | 'after'
  /** What to load as metroplex: `'1.0.2'`, or anything `require` finds. @default this project */
  metroplex?: string
  /** The major version of the client the plugin is given. @default 6 */
  ioredis?: 5 | 6
  /** @default a free one */
  port?: number
  /** The address to listen on. @default '127.0.0.1' */
  host?: string
  /** Milliseconds the clock of this server is ahead of ours; negative: behind. @default 0 */
  clockShift?: number
  /** Events that stay there: telling of a million ids would be most of the work. @default none */
  mute?: string[]
  /**
   * Is given Primus's options in the child, to add those that do not travel, functions
   * for instance. It travels as source, so it sees nothing of its surroundings.
   */
  prepare?: (options: Record<string, unknown>) => unknown
  /** Whether requests that are not Primus's are answered, with the process id. @default false: they are not answered */
  page?: boolean
  /** Options for an HTTPS server, a key and a certificate among them. @default an HTTP server */
  secure?: Record<string, unknown>
  /** What makes its process. @default a process of a server that was stopped, or a new one; see `forkWorker` */
  fork?: () => ChildProcess
  /** What to wait for: `'listening'` for a server that cannot register now. @default 'register' */
  until?: 'register' | 'listening'
  /** Until when it lives. @default 'test' */
  scope?: Scope
}

/** An event of the plugin as it arrived here; `at` is our `Date.now()` then. */
export interface LoggedEvent {
  event: string
  args: unknown[]
  at: number
}

/** How a process ended: one of the two is `null`. */
export interface Exit {
  code: number | null
  signal: NodeJS.Signals | null
}

/**
 * Starts a real Primus server with metroplex in a process of its own.
 *
 * Resolves when it has registered itself. Inside a test it stops by itself when the test
 * ends. It never outlives this process.
 *
 * @throws When it did not register within 30 seconds, or ended, with what it printed.
 *
 * @example
 * const a = await startServer({ redis: { url: redis.url, namespace: namespace() } })
 * assume(await a.call('metroplex.servers', true)).deep.equals([a.address])
 */
export async function startServer(options: ServerOptions): Promise<ServerProcess> {
  const { host = '127.0.0.1', until = 'register', fork } = options
  const server = new ServerProcess(host, fork?.() ?? takeProcess(), fork === undefined)
  servers.add(server)
  adopt(() => server.stop(), options.scope)
  try {
    await server.start(settingsOf(options), until)
    return server
  } catch (error) {
    await server.kill()
    throw new Error(`a server did not start: ${(error as Error).message}\n${server.output}`, { cause: error })
  }
}

/** What a child has to be told to become such a server. */
export function settingsOf(options: ServerOptions): ServerSettings {
  const {
    redis,
    primus = {},
    omega = false,
    metroplex = '../../index',
    ioredis = 6,
    port = 0,
    host = '127.0.0.1'
  } = options
  const { clockShift = 0, mute = [], prepare, page = false, secure } = options
  return {
    redis,
    primus,
    ioredis,
    port,
    host,
    clockShift,
    mute,
    page,
    secure,
    omega: omega === true ? 'before' : omega,
    metroplex: metroplex === '1.0.2' ? 'metroplex1' : metroplex,
    prepare: prepare?.toString()
  }
}

/** Stops every server that still runs, of each scope. */
export async function stopAll(): Promise<void> {
  await Promise.all([...servers].map(server => server.stop()))
}

/** A Primus server in another process. Get one from `startServer`. */
export class ServerProcess {
  /** The plugin's events, with their arguments; errors arrive as `RemoteError`. */
  readonly events = new EventEmitter()
  /** All of the plugin's events so far, oldest first. */
  readonly log: LoggedEvent[] = []
  /** Unhandled rejections, uncaught exceptions and alarming warnings of the child; a good test ends with none. */
  readonly crashes: Error[] = []
  /** Resolves when the process has ended, however. */
  readonly exit: Promise<Exit>

  readonly #child: ChildProcess
  readonly #pending = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>()
  #orders = 0
  #address = ''
  #port = 0
  #output = ''
  #running = true
  #destroyed = false

  /** Use `startServer` instead, which also starts it; this alone is for a child that was started otherwise. */
  constructor(
    private readonly host: string,
    child: ChildProcess,
    private readonly reusable = false
  ) {
    this.#child = child
    if (!reusable) killAtExit(child)
    const print = (chunk: Buffer): void => {
      this.#output = (this.#output + chunk.toString()).slice(-10_000)
    }
    const fail = (error: Error): void => {
      this.crashes.push(error)
    }
    const hear = (report: Report): void => {
      if (report.kind === 'idle') end(0, null)
      else this.#hear(report)
    }
    const streams = [child.stdout, child.stderr]
    for (const stream of streams) stream?.on('data', print)
    let resolve: (exit: Exit) => void = () => undefined
    this.exit = new Promise(settle => {
      resolve = settle
    })
    const end = (code: number | null, signal: NodeJS.Signals | null): void => {
      this.#running = false
      servers.delete(this)
      for (const { reject } of this.#pending.values()) {
        reject(new Error(`the server ended (${code ?? signal ?? 'unknown'}) before it answered\n${this.#output}`))
      }
      this.#pending.clear()
      child.removeListener('message', hear).removeListener('error', fail).removeListener('exit', end)
      if (child.connected && reusable) {
        for (const stream of streams) stream?.removeListener('data', print)
        giveProcess(child)
      }
      resolve({ code, signal })
    }
    child.on('message', hear).on('error', fail).once('exit', end)
  }

  /** The address under which it registered; `''` before. */
  get address(): string {
    return this.#address
  }

  /** Where clients connect. */
  get url(): string {
    return `http://${this.host.includes(':') ? `[${this.host}]` : this.host}:${this.#port}`
  }

  /** The port it listens on. */
  get port(): number {
    return this.#port
  }

  /** Its process id, also after its end. */
  get pid(): number {
    return this.#child.pid ?? -1
  }

  /** Whether its process is there. A process that is paused is. */
  get running(): boolean {
    return this.#running
  }

  /** The last 10,000 characters it printed. */
  get output(): string {
    return this.#output
  }

  /** Makes the child a server, once. `startServer` calls this. */
  async start(settings: ServerSettings, until: 'register' | 'listening'): Promise<void> {
    const { port } = (await this.#order(id => ({ id, verb: 'start', settings }), patience)) as { port: number }
    this.#port = port
    if (until === 'register') {
      await Promise.race([
        this.seen('register', { within: patience }),
        this.exit.then(({ code, signal }) => {
          throw new Error(`it ended (${code ?? signal ?? 'unknown'})`)
        })
      ])
    }
  }

  /**
   * Calls a member of `primus` in the child, `'metroplex.servers'` for instance, and resolves with its promise's value.
   *
   * Async iterables are collected into an array; a member that is no function is read.
   *
   * @throws RemoteError - with the name, message and code of the error in the child.
   */
  call(path: string, ...args: unknown[]): Promise<unknown> {
    return this.#order(id => ({ id, verb: 'call', path, args, style: 'promise' }), endurance)
  }

  /**
   * As `call`, but with a callback as the last argument, as 1.x is called.
   *
   * @throws RemoteError - whose `result` is what the callback was given beside the error.
   */
  callback(path: string, ...args: unknown[]): Promise<unknown> {
    return this.#order(id => ({ id, verb: 'call', path, args, style: 'callback' }), endurance)
  }

  /**
   * Runs a function in the child, given its `primus` and `args`, and resolves with what it returns.
   *
   * It travels as source: it sees its arguments and the globals, and nothing else. Write
   * it as an arrow function.
   *
   * @example
   * await server.run(primus => { primus.on('connection', spark => spark.write('welcome')) })
   */
  run<A extends unknown[], T>(fn: (primus: PrimusUnderTest, ...args: A) => T, ...args: A): Promise<Awaited<T>> {
    return this.#order(id => ({ id, verb: 'run', source: fn.toString(), args }), endurance) as Promise<Awaited<T>>
  }

  /** The ids of the sparks which are connected to it now. */
  async sparks(): Promise<string[]> {
    return (await this.#order(id => ({ id, verb: 'sparks' }), endurance)) as string[]
  }

  /**
   * Resolves with the arguments of the first such event in the log, now or later; misses none in between.
   *
   * @param options.within - Milliseconds until it is given up, with an error. @default 5000
   * @param options.filter - Passes over the events for which it returns something falsy.
   * @param options.since - Passes over the first so many entries of `log`. @default 0
   */
  async seen(
    event: string,
    options: { within?: number; filter?: (...args: unknown[]) => unknown; since?: number } = {}
  ): Promise<unknown[]> {
    const { filter = () => true, since = 0 } = options
    const entry = await eventually(
      () => this.log.slice(since).find(one => one.event === event && filter(...one.args)),
      { within: options.within, what: `the event '${event}' of ${this.#address || 'a server'}` }
    )
    return entry.args
  }

  /** Sends it a signal. */
  signal(signal: NodeJS.Signals): void {
    if (this.#running) this.#child.kill(signal)
  }

  /** Stops the process where it is (SIGSTOP): its connections stay open, it answers nothing until `resume()`. */
  pause(): void {
    this.signal('SIGSTOP')
  }

  /** Lets a paused process go on (SIGCONT). */
  resume(): void {
    this.signal('SIGCONT')
  }

  /** Kills it (SIGKILL), also when it is paused, and waits until it has gone. It does not leave the registry. */
  async kill(): Promise<void> {
    this.signal('SIGKILL')
    await deadline(this.exit, patience, 'the end of a killed server')
  }

  /** Calls `primus.destroy(options)` in it. Resolves when that has called back; the process goes on until `stop()`. */
  async destroy(options?: DestroyOptions): Promise<void> {
    await this.#order(id => ({ id, verb: 'destroy', options }), endurance)
    this.#destroyed = true
  }

  /**
   * Destroys the server unless that was done, and waits until its process ends by itself.
   *
   * The destruction has 15 seconds, and the process then another 15 to find that nothing
   * keeps it alive; then it is killed. Harmless when called twice, and after a `kill()`.
   *
   * @returns How it ended: `{ code: 0, signal: null }` if it went by itself, `signal: 'SIGKILL'` if it had to be
   *   killed.
   */
  async stop(): Promise<Exit> {
    if (!this.#running) return this.exit
    this.resume()
    try {
      if (!this.#destroyed) await this.#order(id => ({ id, verb: 'destroy', options: undefined }), patience / 2)
      this.#send({ verb: 'leave', reusable: this.reusable })
      return await deadline(this.exit, patience / 2, 'the end of a server')
    } catch {
      await this.kill()
      return this.exit
    }
  }

  #hear(report: Exclude<Report, { kind: 'idle' }>): void {
    if (report.kind === 'crash') {
      const crash = new RemoteError(report.error)
      crash.message = `${report.origin} in the server: ${crash.message}`
      this.crashes.push(crash)
    } else if (report.kind === 'event') {
      const args = report.args.map(unpack)
      if (report.event === 'register') this.#address = String(args[0])
      this.log.push({ event: report.event, args, at: Date.now() })
      this.events.emit(report.event, ...args)
    } else {
      const order = this.#pending.get(report.id)
      this.#pending.delete(report.id)
      if (report.kind === 'value') order?.resolve(report.value)
      else order?.reject(new RemoteError(report.error))
    }
  }

  async #order(make: (id: number) => Exclude<Order, { verb: 'leave' }>, within: number): Promise<unknown> {
    const order = make(++this.#orders)
    if (!this.#running) throw new Error(`the server has ended, it cannot ${order.verb}`)
    const answer = new Promise((resolve, reject) => {
      this.#pending.set(order.id, { resolve, reject })
    })
    this.#send(order)
    try {
      return await deadline(
        answer,
        within,
        `the answer of ${this.#address || 'a server'} to ${order.verb === 'call' ? order.path : order.verb}`
      )
    } finally {
      this.#pending.delete(order.id)
    }
  }

  #send(order: Order): void {
    // An order that cannot be sent any more is rejected by the exit that is the reason.
    this.#child.send(order, () => undefined)
  }
}
