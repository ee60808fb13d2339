/** How quickly it is found out where sparks are, and what that costs. */
import { comeAll, madeUp, makeUp } from './harness/pretend'
import { server } from './harness/server'
import { keepInFlight, type Ran } from './harness/window'
import type { Work } from './harness/work'

const PRETEND = require.resolve('./harness/pretend')
/** Registered at another server: one's own need no question. */
const SPARKS = 10_000

export const lookup: Work = {
  name: 'lookup',
  cast: () => ({ servers: 2 }),

  async *measure(stage, { ms, warm }) {
    const { sender, receivers: [receiver] } = stage
    if (receiver === undefined) return
    await receiver.run(PRETEND, makeUp, SPARKS)
    await receiver.run(PRETEND, comeAll, undefined)
    await stage.registered(SPARKS)
    await sender.run(__filename, learn, await receiver.run(PRETEND, madeUp, undefined))

    for (const { row, many, inFlight } of [
      { row: 'one spark, 64 in flight', many: 1, inFlight: 64 },
      { row: 'one spark, 1024 in flight', many: 1, inFlight: 1024 },
      { row: '100 sparks, 64 in flight', many: 100, inFlight: 64 }
    ]) {
      const run = (ms: number): Promise<Ran> => many === 1
        ? sender.run(__filename, lookUpOne, { inFlight, ms })
        : sender.run(__filename, lookUpMany, { inFlight, ms, many })
      await stage.warm({ run: () => run(warm) })
      yield await stage.measure({ row, operation: 'lookup', run: () => run(ms) })
    }
  }
}

const known: string[] = []
let turn = 0

/** In the server: these ids will be looked up, one after the other. */
export function learn(ids: readonly string[]): void {
  known.push(...ids)
}

/** In the server. */
export function lookUpOne({ inFlight, ms }: { inFlight: number, ms: number }): Promise<Ran> {
  const { metroplex } = server()
  return keepInFlight(inFlight, ms, done => {
    metroplex.spark(known[turn++ % known.length] ?? '', (error, address) => {
      done(error ?? (address !== null ? null : new Error('nobody has the spark')), 1)
    })
  })
}

/** In the server. */
export function lookUpMany({ inFlight, ms, many }: { inFlight: number, ms: number, many: number }): Promise<Ran> {
  const { metroplex } = server()
  return keepInFlight(inFlight, ms, done => {
    const first = turn++ * many % (known.length - many)
    metroplex.sparks(known.slice(first, first + many), (error, addresses) => {
      done(error ?? (addresses.every(Boolean) ? null : new Error('nobody has one of the sparks')), 1)
    })
  })
}
