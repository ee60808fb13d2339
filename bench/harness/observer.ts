import type { Redis } from 'ioredis'
import type { RedisProcess } from '../../test/support/redis'
import { eventually } from '../../test/support/wait'
import { now } from './clock'

/** How something stands that happens by itself. */
export type Standing = 'before' | 'under way' | 'over'

/** From which length on Redis notes a command, in µs: less than any of our scripts takes, more than a glance of ours. */
const SLOW = 10
/** So many are noted. */
const NOTED = 100_000
const patience = 90_000
/** Milliseconds between two glances. */
const GLANCES = 2

/** What is seen of a registry from outside, on a connection of its own. It is closed with the Redis that it looks at. */
export class Observer {
  readonly redis: Redis

  constructor(redis: RedisProcess) {
    // ioredis waits that long for the end of a connection.
    this.redis = redis.client({ disconnectTimeout: 1 })
  }

  /**
   * Looks every two milliseconds, until something is over.
   *
   * Resolves with the moment at which it was seen for the last time before it began, and that at which it was first seen over, by `now()`.
   */
  async watch(what: string, look: (redis: Redis) => Promise<Standing>): Promise<{ began: number, ended: number }> {
    let began: number | undefined
    let ended = 0
    const over = async (): Promise<boolean> => {
      const standing = await look(this.redis)
      ended = now()
      if (standing === 'before') began = ended
      return standing === 'over'
    }
    await eventually(over, { what, within: patience, every: GLANCES })
    if (began === undefined) throw new Error(`${what} had begun before anybody looked`)
    return { began, ended }
  }

  /** From now on Redis notes how long its scripts take. */
  async noteScripts(): Promise<void> {
    await this.redis.config('SET', 'slowlog-log-slower-than', SLOW, 'slowlog-max-len', NOTED)
    await this.redis.slowlog('RESET')
  }

  /** Milliseconds that the longest script took since `noteScripts`. */
  async longestScript(): Promise<number> {
    const noted = await this.redis.slowlog('GET', NOTED) as [id: number, at: number, us: number, command: string[]][]
    return noted.reduce((most, [, , us, [name = '']]) => /^eval/i.test(name) ? Math.max(most, us / 1000) : most, 0)
  }

  /** A number that Redis tells of itself, of one section of `INFO`. */
  async told(section: string, name: string): Promise<number> {
    return numberIn(await this.redis.info(section), name)
  }
}

/** A number in the answer to `INFO`. */
export function numberIn(info: string, name: string): number {
  const [, value] = new RegExp(`^${name}:([\\d.]+)`, 'm').exec(info) ?? []
  if (value === undefined) throw new Error(`Redis tells no ${name}.`)
  return Number(value)
}
