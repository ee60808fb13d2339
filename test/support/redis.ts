import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, existsSync, openSync } from 'node:fs'
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis, type RedisOptions } from 'ioredis'
import { adopt, type Scope } from './dispose'
import { killAtExit } from './orphans'
import { reservePort } from './ports'
import { findRedis } from './redis-binary'
import type { RedisTarget } from './redis-target'
import { tls, type Identity } from './tls'
import { deadline, eventually } from './wait'

const host = '127.0.0.1'
const patience = 10_000
const log = 'redis.log'

/** The name of a unix socket in the directory of a Redis: `{ args: ['--unixsocket', SOCKET] }`. */
export const SOCKET = 'redis.sock'

const configuration = 'redis.conf'

/** How to start a Redis of one's own. */
export interface RedisProcessOptions {
  /** More arguments for redis-server; they win over ours, `['--appendonly', 'yes']` for instance. @default none */
  args?: string[]
  /** A configuration file, for what has to write into its own, as a Sentinel does. @default none */
  config?: string
  /** Whether it speaks TLS, and nothing else, with the certificate of the tests, or with that one. @default false */
  tls?: boolean | Identity
  /** The binary to run. @default the first that `findRedis` finds */
  binary?: string
  /** The port to listen on. @default a reserved one, which stays its own through kills and restarts */
  port?: number
  /** Until when it lives: `'suite'` when it is started in a `before` hook. @default 'test' */
  scope?: Scope
}

/** Options of ioredis, without the one that changes the types of all answers. */
export type ClientSettings = Omit<RedisOptions, 'replyMapping'>

/**
 * Starts a real redis-server on 127.0.0.1, in a temporary directory, without persistence.
 *
 * Resolves when it answers. Inside a test it stops by itself when the test ends; with
 * `scope: 'suite'`, or outside of a test, the caller calls `stop()`. redis-server cannot bind port 0, so
 * it gets a reserved port; when another program takes that meanwhile, it is started again on another one,
 * unless you asked for exactly that port.
 *
 * @throws When it did not answer within 30 seconds, with the end of its log.
 *
 * @example
 * const redis = await startRedis()
 * await redis.client().set('key', 'value')
 */
export async function startRedis(options: RedisProcessOptions = {}): Promise<RedisProcess> {
  const { binary = await findRedis() } = options
  const directory = await mkdtemp(join(tmpdir(), 'metroplex-redis-'))
  try {
    for (let tries = 1; ; tries++) {
      const redis = new RedisProcess(binary, directory, options.port ?? (await reservePort()), options)
      try {
        await redis.start()
        adopt(() => redis.stop(), options.scope)
        return redis
      } catch (error) {
        if (options.port !== undefined || tries === 5 || !String(error).includes('Address already in use')) throw error
      }
    }
  } catch (error) {
    await rm(directory, { recursive: true, force: true })
    throw error
  }
}

/**
 * A Redis for tests which need no faults: that of REDIS_URL, or else one of its own.
 *
 * Meant for a suite's `before`, with `stop()` in its `after`; `stop` does nothing to the
 * Redis of REDIS_URL. Use a `namespace()` per test, and never FLUSHALL: the tests may not be its only users.
 */
export async function anyRedis(): Promise<{ url: string; stop(): Promise<void> }> {
  const url = process.env['REDIS_URL']
  if (url) return { url, stop: () => Promise.resolve() }
  const redis = await startRedis({ scope: 'suite' })
  return { url: redis.url, stop: () => redis.stop() }
}

/** A redis-server that can be made to fail. Get one from `startRedis`. */
export class RedisProcess {
  /** Where clients connect; it carries the password when `--requirepass` was among the arguments. */
  readonly url: string
  /** Options of ioredis which lead there; they survive structured cloning. */
  readonly target: RedisTarget
  /** Those of them that say how to be let in. */
  readonly access: Pick<RedisTarget, 'password' | 'tls'>

  readonly #args: string[]
  readonly #clients: Redis[] = []
  #child: ChildProcess | undefined
  #stopped = false

  /** Use `startRedis` instead, which also starts it. */
  constructor(
    private readonly binary: string,
    /** Where it keeps its files. */
    readonly directory: string,
    readonly port: number,
    private readonly options: Pick<RedisProcessOptions, 'args' | 'config' | 'tls'>
  ) {
    const { args = [], config, tls: secure = false } = options
    const identity = identityOf(secure)
    const flag = args.indexOf('--requirepass')
    const password = flag < 0 ? undefined : args[flag + 1]
    const credentials = password === undefined ? '' : `:${encodeURIComponent(password)}@`
    this.url = `redis${secure ? 's' : ''}://${credentials}${host}:${port}`
    this.access = {
      ...(password !== undefined && { password }),
      // The certificate is made out to that name.
      ...(identity && { tls: { ca: identity.ca, servername: identity.servername } })
    }
    this.target = { host, port, ...this.access }
    this.#args = [
      ...(config === undefined ? [] : [configuration]),
      ...(secure ? securely(port) : ['--port', String(port)]),
      '--bind',
      host,
      '--dir',
      directory,
      '--save',
      '',
      '--appendonly',
      'no',
      ...args
    ]
  }

  /** The path of its unix socket, if it was started with `SOCKET`. */
  get socket(): string {
    return join(this.directory, SOCKET)
  }

  /** The process id; another one after a restart, `undefined` while it does not run. */
  get pid(): number | undefined {
    return this.#child?.pid
  }

  /**
   * Starts it. Resolves when it answers PING. `startRedis` and `restart` call this.
   *
   * @param more - Arguments for this time only.
   */
  async start(more: readonly string[] = []): Promise<void> {
    await this.#furnish()
    const output = openSync(join(this.directory, log), 'w')
    const child = spawn(this.binary, [...this.#args, ...more], {
      stdio: ['ignore', output, output],
      cwd: this.directory
    })
    closeSync(output)
    this.#child = child
    killAtExit(child, this.directory)
    child.once('exit', () => {
      if (this.#child === child) this.#child = undefined
    })

    const ended = new AbortController()
    child.once('exit', () => ended.abort())
    child.once('error', () => ended.abort())
    try {
      await eventually(async () => ended.signal.aborted || (await this.#answers()), {
        within: patience,
        every: 5,
        what: `an answer of ${this.binary}`
      })
      if (ended.signal.aborted) throw new Error(`${this.binary} ended while it started`)
    } catch (error) {
      await this.kill()
      const lines = await readFile(join(this.directory, log), 'utf8')
      throw new Error(`${(error as Error).message}\n${lines.slice(-2000)}`, { cause: error })
    }
  }

  /**
   * Creates a user who may do what these rules of ACL say, in a test that is about rights.
   *
   * @returns A target as that user.
   *
   * @example
   * const redis = await startRedis()
   * await startServer({ redis: await redis.user('limited', ['+get', '~a:*']) })
   */
  async user(username: string, rules: string[]): Promise<RedisTarget> {
    const password = 'secret'
    await this.ask(redis => redis.call('ACL', 'SETUSER', username, 'reset', 'on', `>${password}`, ...rules))
    return { ...this.target, username, password }
  }

  /**
   * An ioredis client of this Redis, closed at `stop()`, or at the end of the test that asked for it.
   *
   * It reconnects every 20 ms and never gives a command up, so it survives the faults
   * its test makes; `options` overrule that.
   */
  client(options: ClientSettings = {}): Redis {
    const client = new Redis({ ...this.target, retryStrategy: () => 20, maxRetriesPerRequest: null, ...options })
    // The faults are ours: ioredis would print each of them.
    client.on('error', () => undefined)
    this.#clients.push(client)
    adopt(() => client.disconnect())
    return client
  }

  /** Stops the process where it is (SIGSTOP): connections stay open, nothing is answered until `resume()`. */
  pause(): void {
    this.#child?.kill('SIGSTOP')
  }

  /** Lets a paused process go on (SIGCONT). What was sent meanwhile is answered now. */
  resume(): void {
    this.#child?.kill('SIGCONT')
  }

  /** Kills it (SIGKILL), also when it is paused. Resolves when it has gone; `restart()` brings it back. */
  async kill(): Promise<void> {
    const child = this.#child
    if (!child || child.pid === undefined) return
    const exit = once(child, 'exit')
    child.kill('SIGKILL')
    await deadline(exit, patience, 'the end of a killed redis-server')
  }

  /**
   * Kills it and starts it again on the same port.
   *
   * Resolves when it answers and all of its `client()`s are connected again. With
   * `empty: false` the data is saved before and there again; a Redis that was killed
   * already comes back with what it had on disk.
   *
   * @param options.empty - Whether it forgets everything, scripts included. @default true
   */
  async restart(options: { empty?: boolean } = {}): Promise<void> {
    const { empty = true } = options
    if (this.#stopped) throw new Error('this Redis was stopped and its directory is gone: start another one')
    this.resume()
    if (!empty && this.#child) await this.ask(redis => redis.save())
    await this.kill()
    if (empty) await this.#forget()
    await this.start()
    const connected = this.#clients.filter(({ status }) => status !== 'end' && status !== 'wait')
    await deadline(Promise.all(connected.map(client => client.ping())), patience, 'the return of the clients')
  }

  /** Ends it, closes its clients, and removes its directory. Harmless when called twice. */
  async stop(): Promise<void> {
    this.#stopped = true
    for (const client of this.#clients) client.disconnect()
    await this.kill()
    await rm(this.directory, { recursive: true, force: true, maxRetries: 3 })
  }

  async #answers(): Promise<boolean> {
    return this.ask(async redis => {
      await redis.ping()
      // Another Redis may have taken our port.
      const info = await redis.info('server')
      return info.includes(`process_id:${this.pid ?? 'none'}\r\n`)
    })
  }

  /**
   * Asks it something on a connection that is closed with the answer.
   *
   * @throws When it does not run, or has not answered within 30 seconds.
   */
  async ask<T>(question: (redis: Redis) => Promise<T>): Promise<T> {
    const redis = new Redis({
      ...this.target,
      lazyConnect: true,
      enableReadyCheck: false,
      retryStrategy: () => null,
      connectTimeout: 10_000,
      commandTimeout: patience,
      // ioredis waits that long for the end of a connection, even of one that never was.
      disconnectTimeout: 1
    })
    redis.on('error', () => undefined)
    try {
      await redis.connect()
      return await question(redis)
    } finally {
      redis.disconnect()
    }
  }

  /** What it reads when it starts. A configuration that it has written into stays. */
  async #furnish(): Promise<void> {
    const { config, tls: secure = false } = this.options
    const identity = identityOf(secure)
    const files = [
      ...(identity
        ? [
            ['tls.key', identity.key],
            ['tls.cert', identity.cert]
          ]
        : []),
      ...(config === undefined || existsSync(join(this.directory, configuration)) ? [] : [[configuration, config]])
    ]
    await Promise.all(files.map(([name = '', text = '']) => writeFile(join(this.directory, name), text)))
  }

  async #forget(): Promise<void> {
    const files = await readdir(this.directory)
    await Promise.all(files.map(file => rm(join(this.directory, file), { recursive: true, force: true })))
  }
}

function identityOf(secure: boolean | Identity): Identity | undefined {
  if (typeof secure === 'object') return secure
  // It is signed by itself.
  return secure ? { ...tls, ca: tls.cert, servername: 'localhost' } : undefined
}

/** Arguments for a Redis that speaks nothing but TLS. */
function securely(port: number): string[] {
  return [
    '--tls-port',
    String(port),
    '--port',
    '0',
    '--tls-auth-clients',
    'no',
    '--tls-cert-file',
    'tls.cert',
    '--tls-key-file',
    'tls.key',
    '--tls-ca-cert-file',
    'tls.cert'
  ]
}
