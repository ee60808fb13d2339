import { setTimeout as pass } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import type { RedisProcess } from '../../test/support/redis'
import { sum, type Cost } from './costs'

/** What some Redis servers have used since they started, all together. */
interface Used extends Pick<Cost, 'cpu' | 'received' | 'sent'> {
  readonly at: number
  readonly memory: number
  /** Calls of each command, those inside scripts as well. */
  readonly calls: ReadonlyMap<string, number>
}

/** Commands that run a script: the commands inside one are no client's. */
const SCRIPTS = ['eval', 'evalsha']
/** How long to look at what Redis does without any command, in ms. */
const IDLE = 1000

/**
 * Measures what work costs one Redis, or the masters of a Cluster together.
 *
 * What they use without any work, and to tell what they have used, is taken off.
 *
 * @example
 * const ruler = await Ruler.open([redis])
 * const cost = await ruler.measure(1000, [], () => beats(1000))
 */
export class Ruler {
  readonly #clients: readonly Redis[]
  #idle = 0
  #asking = { cpu: 0, received: 0, sent: 0 }

  private constructor(nodes: readonly RedisProcess[]) {
    this.#clients = nodes.map(node => node.client({ disconnectTimeout: 1 }))
  }

  static async open(nodes: readonly RedisProcess[]): Promise<Ruler> {
    const ruler = new Ruler(nodes)
    await ruler.#read()
    const [before, after] = [await ruler.#read(), await ruler.#read()]
    ruler.#asking = {
      cpu: after.cpu - before.cpu,
      received: after.received - before.received,
      sent: after.sent - before.sent
    }
    await pass(IDLE)
    const later = await ruler.#read()
    ruler.#idle = Math.max(0, later.cpu - after.cpu - ruler.#asking.cpu) / (later.at - after.at)
    return ruler
  }

  /**
   * What each of `count` operations costs.
   *
   * @param direct the commands that they send besides scripts
   * @param trips the round trips of one; by default each command is one
   */
  async measure(count: number, direct: readonly string[], work: () => Promise<unknown>, trips?: number): Promise<Cost> {
    const before = await this.#read()
    await work()
    const after = await this.#read()
    const called = (used: Used): number =>
      [...SCRIPTS, ...direct].reduce((sum, name) => sum + (used.calls.get(name) ?? 0), 0)
    const commands = called(after) - called(before)
    const rest = (name: 'cpu' | 'received' | 'sent'): number => after[name] - before[name] - this.#asking[name]
    const all: Cost = {
      cpu: Math.max(0, rest('cpu') - this.#idle * (after.at - before.at)),
      commands,
      trips: trips === undefined ? commands : trips * count,
      received: Math.max(0, rest('received')),
      sent: Math.max(0, rest('sent'))
    }
    return sum([1 / count, all])
  }

  /** By how many bytes work makes Redis grow. */
  async growth(work: () => Promise<unknown>): Promise<number> {
    const before = await this.#read()
    await work()
    return (await this.#read()).memory - before.memory
  }

  async #read(): Promise<Used> {
    const texts = await Promise.all(this.#clients.map(client => client.info('all')))
    const total = (...names: string[]): number =>
      texts.reduce(
        (sum, text) =>
          sum + names.reduce((some, name) => some + Number(new RegExp(`^${name}:([\\d.]+)`, 'm').exec(text)?.[1]), 0),
        0
      )
    const calls = new Map<string, number>()
    for (const text of texts) {
      for (const [, name = '', times] of text.matchAll(/^cmdstat_(\w+):calls=(\d+)/gm))
        calls.set(name, (calls.get(name) ?? 0) + Number(times))
    }
    return {
      at: performance.now(),
      cpu: total('used_cpu_user', 'used_cpu_sys') * 1e6,
      received: total('total_net_input_bytes'),
      sent: total('total_net_output_bytes'),
      memory: total('used_memory'),
      calls
    }
  }
}
