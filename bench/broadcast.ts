/** A message to everybody on three servers. */
import { nextMessage } from './harness/message'
import { handed, server } from './harness/server'
import { keepInFlight, type Ran } from './harness/window'
import type { Work } from './harness/work'

const SERVERS = 3

export const broadcast: Work = {
  name: 'broadcast',
  cast: ({ clients }) => ({ servers: SERVERS, clients }),

  async *measure(stage, { ms, warm, clients }) {
    const { sender } = stage
    for (const { calls, inFlight } of [{ calls: '1 call', inFlight: 1 }, { calls: '4 calls', inFlight: 4 }]) {
      const run = (ms: number): Promise<Ran> => sender.run(__filename, forwardToAll, { all: SERVERS * clients, inFlight, ms })
      await stage.warm({ delivers: true, run: () => run(warm) })
      yield await stage.measure({ row: `${SERVERS} × ${clients} clients, ${calls} in flight`, operation: 'delivery', delivers: true, run: () => run(ms) })
    }
  }
}

/** In the server. */
export function forwardToAll({ all, inFlight, ms }: { all: number, inFlight: number, ms: number }): Promise<Ran> {
  const { forward } = server()
  return keepInFlight(inFlight, ms, done => {
    forward.broadcast(nextMessage(), handed(all, done))
  })
}
