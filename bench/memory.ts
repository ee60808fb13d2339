/** What a spark weighs: in Redis, and in the process that holds it; and the user behind it. */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { now } from './harness/clock'
import { close, identify, open } from './harness/named'
import { Observer } from './harness/observer'
import { come, fill, makeUp, present, written } from './harness/pretend'
import { isSuccessor } from './harness/server'
import type { Measured, Stage } from './harness/stage'
import type { Work } from './harness/work'
import { ours } from './subjects'

const PRETEND = require.resolve('./harness/pretend')
const SERVER = require.resolve('./harness/server')
const NAMED = require.resolve('./harness/named')
/** So many, each with so many sparks. */
const [USERS, SPARKS] = [100_000, 3]
const SIZES = [100_000, 1_000_000]
/** The smallest share of these that is measured: of less, nothing can be said. */
const LEAST = 0.1
/** As long as that of a server in a network of its own: it stands beside each spark. */
const ADDRESS = 'http://192.168.100.100:8080'
/** So many connect within one turn of the event loop. */
const BURST = 100

/** How the process of a server has grown. */
interface Growth {
  /** On the heap and beside it, after collecting garbage. */
  bytes: number
  /** Milliseconds: for how long the event loop stood still at the most, and how long one `connect` took. */
  pause: number
  connect: number
}

export const memory: Work = {
  name: 'memory',
  cast: () => ({ servers: 1, options: { address: ADDRESS } }),

  async *measure(stage, { size }) {
    const { sender } = stage
    const observer = new Observer(stage.redis)
    const weighed = await sender.run(SERVER, isSuccessor, undefined)
    const before = await observer.told('memory', 'used_memory')
    let bytes = 0
    for (const count of SIZES.map(count => count * Math.max(size, LEAST))) {
      await sender.run(PRETEND, makeUp, count - (await sender.run(PRETEND, present, undefined)))
      const grown = await (weighed ? sender.run(__filename, grow, undefined) : sender.run(PRETEND, fill, undefined))
      await stage.registered(count)
      bytes += grown?.bytes ?? 0
      yield {
        row: `${count} sparks`,
        operation: 'spark',
        operations: count,
        failed: 0,
        cpu: {},
        figures: {
          'bytes of Redis a spark': ((await observer.told('memory', 'used_memory')) - before) / count,
          ...(grown && {
            'bytes of its process a spark': bytes / count,
            'longest pause while growing, ms': grown.pause,
            'longest connect, ms': grown.connect
          })
        }
      }
    }
    // They are made of this build's own parts: nothing else has any, or can be asked from outside.
    if (stage.subject.kind === 'primus' && stage.subject.module === ours.module)
      yield await named(stage, observer, USERS * Math.max(size, LEAST))
  }
}

/** What the users of sparks weigh, on a server beside that of the other rows. */
async function named({ sender, redis }: Stage, observer: Observer, users: number): Promise<Measured> {
  const sparks = users * SPARKS
  const before = await observer.told('memory', 'used_memory')
  await sender.run(NAMED, open, { redis: redis.target, namespace: 'named', address: ADDRESS, sparks })
  const anonymous = await observer.told('memory', 'used_memory')
  const process = await sender.run(__filename, weigh, undefined)
  await sender.run(NAMED, identify, users)
  const identified = await observer.told('memory', 'used_memory')
  const bytes = (await sender.run(__filename, weigh, undefined)) - process
  await sender.run(NAMED, close, undefined)
  return {
    row: `${users} users of ${SPARKS} sparks each`,
    operation: 'spark',
    operations: sparks,
    failed: 0,
    cpu: {},
    figures: {
      'bytes of Redis a spark without a user': (anonymous - before) / sparks,
      'bytes of Redis a spark with a user': (identified - before) / sparks,
      'bytes of its process for the user of a spark': bytes / sparks
    }
  }
}

/** In the server: all that were made up connect. */
export async function grow(): Promise<Growth> {
  const before = weigh()
  const delay = monitorEventLoopDelay({ resolution: 1 })
  delay.enable()
  let connect = 0
  for (let more = true; more;) {
    for (let i = 0; i < BURST && more; i++) {
      const began = now()
      more = come(1) === 1
      connect = Math.max(connect, now() - began)
    }
    await new Promise(resolve => setImmediate(resolve))
  }
  await written()
  delay.disable()
  return { bytes: weigh() - before, pause: delay.max / 1e6, connect }
}

/** In the server: the heap, and what lies beside it, after collecting garbage. */
export function weigh(): number {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  collect()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}
