import { connect } from 'node:net'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import type { RedisProcess } from '../../test/support/redis'
import { deadline, eventually } from '../../test/support/wait'
import { now } from './clock'
import type { SocketCalls } from './socket-calls'

/** How something stands that happens by itself. */
export type Standing = 'before' | 'under way' | 'over'

/**
 * From which length on Redis notes a command, in µs: less than any of our scripts takes, more than a glance of ours.
 */
const SLOW = 10
/** So many are noted. */
const NOTED = 100_000
const patience = 90_000
/** A command as MONITOR tells it, if no script called it. */
const BY_CLIENT = /^\+[\d.]+ \[\d+ (?!lua\])/
/** Milliseconds between two glances. */
const GLANCES = 2

/**
 * What is seen of a registry from outside, on a connection of its own. It is closed with the Redis that it looks at.
 */
export class Observer {
  readonly redis: Redis
  /** How often it was asked for its calls. */
  #asked = 0

  constructor(private readonly process: RedisProcess) {
    // ioredis waits that long for the end of a connection.
    this.redis = process.client({ disconnectTimeout: 1 })
  }

  /**
   * Looks every two milliseconds, until something is over.
   *
   * Resolves with the moment at which it was seen for the last time before it began, and that at which it was first
   * seen over, by `now()`.
   *
   * @param began When it is known not to have begun.
   */
  async watch(
    what: string,
    look: (redis: Redis) => Promise<Standing>,
    began?: number
  ): Promise<{ began: number; ended: number }> {
    let ended = 0
    const over = async (): Promise<boolean> => {
      const standing = await look(this.redis)
      ended = now()
      if (standing === 'before') began = ended
      return standing === 'over' || began === undefined
    }
    await eventually(over, { what, within: patience, every: GLANCES })
    if (began === undefined) throw new Error(`nothing was observed before ${what}`)
    return { began, ended }
  }

  /** From now on Redis notes how long its scripts take. */
  async noteScripts(): Promise<void> {
    await this.redis.config('SET', 'slowlog-log-slower-than', SLOW, 'slowlog-max-len', NOTED)
    await this.redis.slowlog('RESET')
  }

  /** Milliseconds that the longest script took since `noteScripts`. */
  async longestScript(): Promise<number> {
    const noted = (await this.redis.slowlog('GET', NOTED)) as [id: number, at: number, us: number, command: string[]][]
    return noted.reduce((most, [, , us, [name = '']]) => (/^eval/i.test(name) ? Math.max(most, us / 1000) : most), 0)
  }

  /** How many commands clients send in so many milliseconds. What scripts call is not counted; nor are we. */
  async commandsWithin(ms: number): Promise<number> {
    // Not by ioredis: what is told while it is still being let in confuses it.
    const monitor = connect(this.process.port, '127.0.0.1').setEncoding('utf8')
    let count = 0
    let ready: () => void
    const accepted = new Promise<void>(resolve => {
      ready = resolve
    })
    createInterface({ input: monitor }).on('line', line => {
      if (line === '+OK') ready()
      else if (BY_CLIENT.test(line)) count++
    })
    monitor.write('MONITOR\r\n')
    await deadline(accepted, patience, 'the list of all commands')
    await sleep(ms)
    monitor.destroy()
    return count
  }

  /** The bytes that Redis has received and sent until now, except for this very answer; and how many that has. */
  async traffic(): Promise<{ bytes: number; own: number }> {
    const info = await this.redis.info('stats')
    return {
      bytes: numberIn(info, 'total_net_input_bytes') + numberIn(info, 'total_net_output_bytes'),
      own: Buffer.byteLength(info)
    }
  }

  /** How often Redis has written to and read from the sockets of its clients, without what this question takes. */
  async socketCalls(): Promise<SocketCalls> {
    const info = await this.redis.info('stats')
    this.#asked++
    // It has read this question, but not written the answer yet.
    return {
      writes: numberIn(info, 'total_writes_processed') - (this.#asked - 1),
      reads: numberIn(info, 'total_reads_processed') - this.#asked
    }
  }

  /** Microseconds of CPU that Redis has used until now. */
  async cpu(): Promise<number> {
    const info = await this.redis.info('cpu')
    return (numberIn(info, 'used_cpu_user') + numberIn(info, 'used_cpu_sys')) * 1e6
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
