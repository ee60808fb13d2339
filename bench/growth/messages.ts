import { handed, server } from '../harness/server'
import { Stage, type Cast } from '../harness/stage'
import { keepInFlight, type Ran } from '../harness/window'
import type { Scale } from '../harness/work'
import { ours } from '../subjects'
import { within, type Cost, type Growing, type Point } from './growing'
import { cpuOf } from './sparks'

const SIZES = [10, 100, 1000, 10_000, 100_000, 1_000_000]
const PEERS = [2, 5, 10, 20, 50]
/** Of each server. */
const CLIENTS = 10
/** As large as the messages of the other works. */
const BYTES = 200
/** So many are on their way to one spark at a time. */
const TOGETHER = 16

const costs: Readonly<Record<string, Cost>> = {
  forward: { title: 'To forward a message to one spark', unit: 'µs of CPU, servers and Redis' },
  broadcast: { title: 'To broadcast a message, for each delivery', unit: 'µs of CPU, servers and Redis' }
}

/** The JSON text of a message: what it costs to send a larger one. */
export const bytes: Growing = {
  name: 'bytes',
  label: 'bytes of a message',
  costs,

  async *measure(subject, scale) {
    if (subject !== ours) return
    const cast = { servers: 3, clients: CLIENTS }
    const stage = await Stage.open(subject, cast)
    try {
      // The first ones pay for what has never run before.
      await costsOf(stage, cast, BYTES, scale)
      for (const size of within(SIZES, 1_000_000 * scale.size))
        yield { size, costs: await costsOf(stage, cast, size, scale) }
    } finally {
      await stage.close()
    }
  }
}

/** Other servers: what it costs that a message may have to go to any, or to all of them. */
export const peers: Growing = {
  name: 'peers',
  label: 'peers',
  costs,

  async *measure(subject, scale) {
    if (subject !== ours) return
    for (const size of within(PEERS, 50 * scale.size)) {
      const cast = { servers: size + 1, clients: CLIENTS }
      const stage = await Stage.open(subject, cast)
      try {
        yield { size, costs: await costsOf(stage, cast, BYTES, scale) }
      } finally {
        await stage.close()
      }
    }
  }
}

async function costsOf(
  stage: Stage,
  { servers, clients = 0 }: Cast,
  bytes: number,
  { ms, warm }: Scale
): Promise<Point['costs']> {
  const {
    sender,
    ids: [, ...theirs]
  } = stage
  const one = (ms: number): Promise<Ran> => sender.run(__filename, forwardToOne, { ids: turns(theirs), bytes, ms })
  const all = (ms: number): Promise<Ran> => sender.run(__filename, forwardToAll, { all: servers * clients, bytes, ms })
  const used: number[] = []
  for (const run of [one, all]) {
    await stage.warm({ delivers: true, run: () => run(warm / 2) })
    used.push(
      cpuOf(
        await stage.measure({ row: `${bytes} bytes`, operation: 'delivery', delivers: true, run: () => run(ms / 2) })
      )
    )
  }
  const [forward = 0, broadcast = 0] = used
  return { forward, broadcast }
}

/** One spark of each server, then the next one of each. */
function turns(ids: readonly (readonly string[])[]): string[] {
  return Array.from({ length: CLIENTS }, (_, i) => ids.map(those => those[i] ?? '')).flat()
}

/** A message whose JSON text is so long. */
function message(bytes: number): string {
  return 'x'.repeat(bytes - '""'.length)
}

/** In the server: to these sparks in turns. */
export function forwardToOne({ ids, bytes, ms }: { ids: readonly string[]; bytes: number; ms: number }): Promise<Ran> {
  const { forward } = server()
  const text = message(bytes)
  let turn = 0
  return keepInFlight(TOGETHER, ms, done => {
    forward.spark(ids[turn++ % ids.length] ?? '', text, handed(1, done))
  })
}

/** In the server. */
export function forwardToAll({ all, bytes, ms }: { all: number; bytes: number; ms: number }): Promise<Ran> {
  const { forward } = server()
  const text = message(bytes)
  return keepInFlight(1, ms, done => {
    forward.broadcast(text, handed(all, done))
  })
}
