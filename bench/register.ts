/** How much it costs that sparks come and go: for the server, and for Redis. */
import { now } from './harness/clock'
import { come, go, makeUp, present, written } from './harness/pretend'
import type { Ran } from './harness/window'
import type { Work } from './harness/work'

const PRETEND = require.resolve('./harness/pretend')
const BURST = 1000
/** As many as are made up: a row ends when none are left. */
const MOST = 200_000

export const register: Work = {
  name: 'register',
  cast: () => ({ servers: 1 }),

  async *measure(stage, { ms, warm }) {
    const { sender } = stage
    await sender.run(PRETEND, makeUp, MOST)
    await stage.warm({ run: () => sender.run(__filename, connectBursts, warm) })
    await stage.warm({ run: () => sender.run(__filename, disconnectBursts, MOST) })

    const connects = await stage.measure({
      row: 'connect, bursts of 1000',
      operation: 'spark',
      run: () => sender.run(__filename, connectBursts, ms)
    })
    // A subject that did not write would be very quick.
    await stage.registered(connects.operations)
    yield connects
    yield await stage.measure({
      row: 'disconnect, bursts of 1000',
      operation: 'spark',
      run: () => sender.run(__filename, disconnectBursts, MOST)
    })
    await stage.registered(0)

    await stage.warm({ run: () => sender.run(__filename, trickle, warm) })
    yield await stage.measure({
      row: 'connect, one at a time, 1000 a second',
      operation: 'spark',
      run: () => sender.run(__filename, trickle, ms)
    })
    await stage.registered(await sender.run(PRETEND, present, undefined))
  }
}

/** In the server: bursts of connects for so many milliseconds, each after the one before has been written. */
export async function connectBursts(ms: number): Promise<Ran> {
  const began = now()
  let operations = 0
  let more = true
  while (more && now() - began < ms) {
    const count = come(BURST)
    operations += count
    more = count === BURST
    await written()
  }
  return { operations, failed: 0, began, ended: now() }
}

/** In the server: bursts of disconnects, until so many have gone, or all. */
export async function disconnectBursts(count: number): Promise<Ran> {
  const began = now()
  let operations = 0
  while (operations < count && present() > 0) {
    operations += go(BURST)
    await written()
  }
  return { operations, failed: 0, began, ended: now() }
}

/** In the server: one connect each millisecond. One that comes late is followed by the next one sooner. */
export async function trickle(ms: number): Promise<Ran> {
  const began = now()
  let operations = 0
  while (now() - began < ms) {
    operations += come(1)
    const early = began + operations - now()
    await new Promise(resolve => (early > 0 ? setTimeout(resolve, early) : setImmediate(resolve)))
  }
  await written()
  return { operations, failed: 0, began, ended: now() }
}
