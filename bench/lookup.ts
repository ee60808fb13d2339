/** How quickly it is found out where sparks are, and what that costs. */
import { ableTo, pretend } from './harness/actor'
import { keepInFlight, type Ran } from './harness/window'
import type { Work } from './harness/work'

const ACTOR = require.resolve('./harness/actor')
/** Registered at another server: one's own need no question. */
const SPARKS = 10_000
/** Of socket.io, which knows none without clients. */
const CLIENTS = 100

export const lookup: Work = {
  name: 'lookup',
  cast: (_scale, { kind }) => ({ servers: 2, clients: kind === 'socket.io' ? CLIENTS : 0 }),

  async *measure(stage, { ms, warm, most }) {
    const {
      sender,
      receivers: [receiver],
      subject: { kind }
    } = stage
    if (receiver === undefined) return
    await sender.run(__filename, learn, stage.ids[1] ?? (await receiver.run(ACTOR, pretend, SPARKS)))
    if (kind === 'primus') await stage.registered(SPARKS)

    const rows = [
      { row: 'one spark, 64 in flight', many: 1, inFlight: 64 },
      // socket.io asks all servers about each one, and has no question about several.
      ...(kind === 'socket.io'
        ? []
        : [
            { row: `one spark, ${most} in flight`, many: 1, inFlight: most },
            { row: '100 sparks, 64 in flight', many: 100, inFlight: 64 }
          ])
    ]
    for (const { row, many, inFlight } of rows) {
      yield await stage.row({
        row,
        operation: 'lookup',
        ms,
        warm,
        run: ms =>
          many === 1
            ? sender.run(__filename, lookUpOne, { inFlight, ms })
            : sender.run(__filename, lookUpMany, { inFlight, ms, many })
      })
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
export function lookUpOne({ inFlight, ms }: { inFlight: number; ms: number }): Promise<Ran> {
  const lookUp = ableTo('lookUpOne')
  return keepInFlight(inFlight, ms, done => lookUp(known[turn++ % known.length] ?? '', done))
}

/** In the server. */
export function lookUpMany({ inFlight, ms, many }: { inFlight: number; ms: number; many: number }): Promise<Ran> {
  const lookUp = ableTo('lookUpMany')
  return keepInFlight(inFlight, ms, done => {
    const first = (turn++ * many) % (known.length - many)
    lookUp(known.slice(first, first + many), done)
  })
}
