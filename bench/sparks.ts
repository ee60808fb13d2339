/** A message to a thousand sparks, spread evenly over three servers. */
import { nextMessage } from './harness/message'
import { handed, server } from './harness/server'
import { keepInFlight, type Ran } from './harness/window'
import type { Work } from './harness/work'

const SERVERS = 3
const SPARKS = 1000

export const sparks: Work = {
  name: 'sparks',
  cast: () => ({ servers: SERVERS, clients: Math.ceil(SPARKS / SERVERS) }),

  async *measure(stage, { ms, warm }) {
    const { sender } = stage
    const ids = stage.ids.flat().slice(0, SPARKS)
    for (const { row, inFlight } of [{ row: '1 call in flight', inFlight: 1 }, { row: '4 calls in flight', inFlight: 4 }]) {
      const run = (ms: number): Promise<Ran> => sender.run(__filename, forwardToMany, { ids, inFlight, ms })
      await stage.warm({ delivers: true, run: () => run(warm) })
      yield await stage.measure({ row, operation: 'delivery', delivers: true, run: () => run(ms) })
    }
  }
}

/** In the server. */
export function forwardToMany({ ids, inFlight, ms }: { ids: readonly string[], inFlight: number, ms: number }): Promise<Ran> {
  const { forward } = server()
  return keepInFlight(inFlight, ms, done => {
    forward.sparks(ids, nextMessage(), handed(ids.length, done))
  })
}
