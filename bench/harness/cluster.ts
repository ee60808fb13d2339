import { setTimeout as sleep } from 'node:timers/promises'
import { startRedis, type RedisProcess } from '../../test/support/redis'
import { eventually } from '../../test/support/wait'
import { now } from './clock'
import { awaitAcquaintance, openMembers } from './members'
import { Observer } from './observer'
import { isSuccessor } from './server'
import { namespace, type Measured, type Stage } from './stage'
import type { Ran } from './window'

const MEMBERS = require.resolve('./members')
const SERVER = require.resolve('./server')
const patience = 60_000
/** What Redis uses for the beats alone: with few servers, most of what it uses it would use without any. */
export const BEYOND = 'Redis, µs of CPU a beat, less those of an idle Redis'
/** So many register at the same time: each that joins is looked at by all others. */
const TOGETHER = 50

/** Options with which servers of either subject beat three times a lease. */
export function beating(lease: number): object {
  return { interval: lease, latency: (2 * lease) / 3, metroplex: { lease } }
}

/**
 * Servers that do nothing but be there: the sender of a stage, and beside it, in its process, as many others as one
 * likes.
 *
 * @example
 * const cluster = await Cluster.open(stage, 1500)
 * try {
 *   await cluster.grow(100)
 *   const measured = await cluster.measure(5)
 * } finally { await cluster.close() }
 */
export class Cluster {
  #servers = 1
  readonly #observer: Observer
  /** Of a Redis that does nothing. */
  readonly #idle: Observer

  private constructor(
    private readonly stage: Stage,
    private readonly lease: number,
    private readonly idle: RedisProcess
  ) {
    this.#observer = new Observer(stage.redis)
    this.#idle = new Observer(idle)
  }

  /** @param lease That of `beating`, with which the stage was opened, in ms. */
  static async open(stage: Stage, lease: number): Promise<Cluster> {
    return new Cluster(stage, lease, await startRedis())
  }

  /** Ends what the stage does not end. */
  close(): Promise<void> {
    return this.idle.stop()
  }

  /** Resolves when there are so many, who know each other, and one of which cleans up after the dead. */
  async grow(servers: number): Promise<void> {
    const {
      sender,
      subject,
      redis: { target: redis }
    } = this.stage
    if (subject.kind !== 'primus')
      throw new Error(`Only a plugin can be a server without clients; '${subject.name}' is none.`)
    for (; this.#servers < servers; this.#servers = Math.min(servers, this.#servers + TOGETHER)) {
      const count = Math.min(TOGETHER, servers - this.#servers)
      await sender.run(MEMBERS, openMembers, { subject, redis, namespace, options: beating(this.lease), count })
    }
    await sender.run(MEMBERS, awaitAcquaintance, servers - 1)
    const { redis: client } = this.#observer
    const watched = async (): Promise<boolean> =>
      (await client.scard(`${namespace}:servers`)) === servers && (await client.exists(`${namespace}:sweep`)) === 1
    if (await sender.run(SERVER, isSuccessor, undefined))
      await eventually(watched, { what: 'a sweep', within: patience })
  }

  /** The bytes that go to and from Redis until all know one more. Their beats meanwhile are among them. */
  async bytesOfJoining(): Promise<number> {
    const before = await this.#observer.traffic()
    await this.grow(this.#servers + 1)
    const after = await this.#observer.traffic()
    return after.bytes - before.bytes - before.own
  }

  /**
   * What it costs that they are there, for so many beats of each. First bytes and CPU, then commands: to see those
   * costs bytes.
   */
  async measure(periods: number): Promise<Measured> {
    const observer = this.#observer
    const [period, servers] = [this.lease / 3, this.#servers]
    const beatsIn = (ms: number): number => (servers * ms) / period
    let bytes = 0
    let idle = 0
    const run = async (): Promise<Ran> => {
      const asleep = await this.#idle.cpu()
      const [began, before] = [now(), await observer.traffic()]
      await this.#idle.traffic()
      await sleep(periods * period)
      const [after, ended] = [await observer.traffic(), now()]
      await this.#idle.traffic()
      bytes = after.bytes - before.bytes - before.own
      idle = (await this.#idle.cpu()) - asleep
      return { operations: Math.round(beatsIn(ended - began)), failed: 0, began, ended }
    }
    const measured = await this.stage.measure({ row: `${servers} servers`, operation: 'beat', run })
    const commands = await observer.commandsWithin(periods * period)
    return {
      ...measured,
      perSecond: undefined,
      figures: {
        [BEYOND]: (measured.cpu.redis ?? NaN) - idle / measured.operations,
        'commands a beat': commands / beatsIn(periods * period),
        'bytes a beat': bytes / measured.operations
      }
    }
  }
}
