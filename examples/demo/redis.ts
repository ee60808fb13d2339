import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { Redis } from 'ioredis'
import { killAtExit } from '../../test/support/orphans'
import { reservePort } from '../../test/support/ports'
import { findRedis } from '../../test/support/redis-binary'
import { deadline } from '../../test/support/wait'

/** The Redis of one run. */
export interface Registry {
  readonly url: string
  /** Its folder; `''` when it is not ours. */
  readonly directory: string
  /** A description for the story. */
  readonly description: string
  /** Removes all that the run has left in it, or the Redis itself. */
  close(): Promise<void>
}

/** How long a Redis may take to answer or to end, in ms. */
const PATIENCE = 5000

/** How often another port is tried when a port is taken meanwhile. */
const TRIES = 5

/**
 * Finds a Redis for this run: that of `REDIS_URL`, else one of our own, for which `redis-server` or `valkey-server` is
 * taken from the PATH or installed.
 *
 * @param namespace the prefix of all keys that are removed at the end
 * @param say told in one line what is installed, before it is
 */
export async function openRegistry(namespace: string, say: (line: string) => void): Promise<Registry> {
  const url = process.env['REDIS_URL']
  return url ? borrow(url, namespace) : start(await findRedis(say))
}

/** Removes every key of a namespace. */
export async function forget(redis: Redis, namespace: string): Promise<void> {
  let cursor = '0'
  do {
    const [next, keys] = await redis.scan(cursor, 'MATCH', `${namespace}:*`, 'COUNT', 1000)
    if (keys.length > 0) await redis.del(...keys)
    cursor = next
  } while (cursor !== '0')
}

/** Cleans up in place of the process that has died. */
export async function clear(
  redis: Redis,
  { redisDirectory, namespace }: { readonly redisDirectory: string; readonly namespace: string }
): Promise<void> {
  if (redisDirectory === '') {
    await forget(redis, namespace)
    return
  }
  // It ends without an answer, or another process has ended it.
  redis.shutdown('NOSAVE').catch(() => undefined)
  await rm(redisDirectory, { recursive: true, force: true, maxRetries: 3 })
}

/** An existing Redis: the run uses a namespace of its own and removes it at the end. */
async function borrow(url: string, namespace: string): Promise<Registry> {
  const redis = new Redis(url, { lazyConnect: true, retryStrategy: () => null })
  let reason: unknown
  redis.on('error', error => {
    reason = error
  })
  try {
    await deadline(redis.connect(), PATIENCE, 'its answer')
  } catch (error) {
    redis.disconnect()
    throw new Error(`The Redis of REDIS_URL cannot be reached: ${((reason ?? error) as Error).message}`, {
      cause: error
    })
  }
  redis.disconnect()
  return {
    url,
    directory: '',
    // The URL may hold a password.
    description: `using the one of REDIS_URL, with the namespace ${namespace}`,
    close: async () => {
      const last = new Redis(url, { retryStrategy: () => null })
      last.on('error', () => undefined)
      try {
        await forget(last, namespace)
      } finally {
        last.disconnect()
      }
    }
  }
}

async function start(binary: string): Promise<Registry> {
  const directory = await mkdtemp(join(tmpdir(), 'metroplex-demo-'))
  for (let tries = 1; ; tries++) {
    const port = await reservePort()
    const child = spawn(
      binary,
      ['--port', String(port), '--bind', '127.0.0.1', '--dir', directory, '--save', '', '--appendonly', 'no'],
      {
        cwd: directory,
        stdio: ['ignore', 'pipe', 'ignore'],
        // Ctrl-C reaches all processes of the terminal's group, and the servers need Redis until they have left.
        detached: true
      }
    )
    killAtExit(child, directory)
    const output = await ready(child)
    if (output === '') {
      return {
        url: `redis://127.0.0.1:${port}`,
        directory,
        description: `started ${binary} on port ${port}, without persistence (pid ${child.pid ?? 0})`,
        close: async () => {
          await end(child)
          await rm(directory, { recursive: true, force: true, maxRetries: 3 })
        }
      }
    }
    await end(child)
    if (tries === TRIES || !output.includes('Address already in use')) {
      await rm(directory, { recursive: true, force: true })
      throw new Error(`${binary} did not start:\n${output}`)
    }
  }
}

/** `''` once it accepts connections, else its error output. */
async function ready(child: ChildProcess & { stdout: NodeJS.ReadableStream }): Promise<string> {
  const lines = createInterface(child.stdout)
  let said = ''
  const answer = new Promise<string>(resolve => {
    lines.on('line', line => {
      said += `${line}\n`
      if (line.includes('eady to accept connections')) resolve('')
    })
    lines.once('close', () => {
      resolve(said || 'it ended')
    })
    child.once('error', error => {
      resolve(error.message)
    })
  })
  return deadline(answer, PATIENCE, 'an answer').catch(() => said || 'it said nothing')
}

async function end(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
  const exit = once(child, 'exit')
  // It has nothing to save.
  child.kill('SIGKILL')
  await deadline(exit, PATIENCE, 'the end of Redis')
}
