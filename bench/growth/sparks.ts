import { foundAgain } from '../heal'
import { now } from '../harness/clock'
import { beating } from '../harness/cluster'
import { Observer } from '../harness/observer'
import { comeAll, madeUp, makeUp } from '../harness/pretend'
import { address } from '../harness/server'
import { Stage, type Measured } from '../harness/stage'
import type { Ran } from '../harness/window'
import type { Scale } from '../harness/work'
import { learn, lookUpOne } from '../lookup'
import { cleanedUp } from '../reap'
import { ours } from '../subjects'
import { within, type Growing, type Point } from './growing'

const LOOKUP = require.resolve('../lookup')
const PRETEND = require.resolve('../harness/pretend')
const SERVER = require.resolve('../harness/server')
const SIZES = [1000, 10_000, 100_000, 1_000_000]
/** Milliseconds. */
const LEASE = 3000
/** So many of them are looked up, in turns. */
const ASKED = 10_000

/** Sparks of one server: what it costs to have them, to find them, to put them back and to clean them up. */
export const sparks: Growing = {
  name: 'sparks',
  label: 'sparks of one server',
  costs: {
    register: { title: 'To register a spark, one of many', unit: 'µs of CPU, server and Redis' },
    lookup: { title: 'To look up one of these sparks', unit: 'µs of CPU, server and Redis' },
    memory: { title: 'Memory of Redis', unit: 'bytes' },
    heal: { title: 'To put all back after a flush', unit: 'ms' },
    reap: { title: 'To clean up after a dead server', unit: 'ms' }
  },

  async *measure(subject, scale) {
    // 1.x needs minutes for a million, and does not heal.
    if (subject !== ours) return
    for (const size of within(SIZES, 1_000_000 * scale.size)) {
      const stage = await Stage.open(subject, { servers: 2, options: beating(LEASE) })
      try {
        yield await costsOf(stage, size, scale)
      } finally {
        await stage.close()
      }
    }
  }
}

async function costsOf(stage: Stage, size: number, { ms, warm }: Scale): Promise<Point> {
  const {
    sender,
    receivers: [holder]
  } = stage
  if (holder === undefined) throw new Error('No server is there to hold sparks.')
  const observer = new Observer(stage.redis)
  const measure = (row: string, run: () => Promise<Ran>): ReturnType<Stage['measure']> =>
    stage.measure({ row, operation: 'spark', run })
  const all = async (run: () => Promise<unknown>): Promise<Ran> => {
    const began = now()
    await run()
    return { operations: size, failed: 0, began, ended: now() }
  }
  const empty = await observer.told('memory', 'used_memory')
  const own = await holder.run(SERVER, address, undefined)
  await holder.run(PRETEND, makeUp, size)
  const registered = await measure('register', () => all(() => holder.run(PRETEND, comeAll, undefined)))
  await stage.registered(size)
  const memory = (await observer.told('memory', 'used_memory')) - empty

  await sender.run(LOOKUP, learn, (await holder.run(PRETEND, madeUp, undefined)).slice(0, ASKED))
  const ask = (ms: number): Promise<Ran> => sender.run(LOOKUP, lookUpOne, { inFlight: 64, ms })
  await stage.warm({ run: () => ask(warm) })
  const asked = await measure('lookup', () => ask(ms))

  await observer.redis.flushall()
  const healed = await observer.watch('the end of a heal', redis => foundAgain(redis, own, size), now())
  await stage.lose(holder)
  const reaped = await observer.watch('the end of a dead server', redis => cleanedUp(redis, own))
  return {
    size,
    costs: {
      register: cpuOf(registered),
      lookup: cpuOf(asked),
      memory,
      heal: healed.ended - healed.began,
      reap: reaped.ended - reaped.began
    }
  }
}

/** Of all servers and Redis, for each operation. */
export function cpuOf({ cpu: { sender = 0, receivers = 0, redis = 0 } }: Measured): number {
  return sender + receivers + redis
}
