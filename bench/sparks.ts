/** A message to a thousand sparks, spread evenly over three servers. */
import { ableTo } from './harness/actor'
import { nextMessage } from './harness/message'
import { keep, named, windows, type Ran, type Window } from './harness/window'
import type { Work } from './harness/work'

const SERVERS = 3
const SPARKS = 1000

export const sparks: Work = {
  name: 'sparks',
  cast: () => ({ servers: SERVERS, clients: Math.ceil(SPARKS / SERVERS) }),

  async *measure(stage, { ms, warm }) {
    const ids = stage.ids.flat().slice(0, SPARKS)
    for (const window of windows(stage.subject, [1, 4])) {
      yield await stage.row({
        row: named(window),
        operation: 'delivery',
        delivers: true,
        ms,
        warm,
        run: ms => stage.sender.run(__filename, forwardToMany, { ids, window: { ...window, ms, each: ids.length } })
      })
    }
  }
}

/** In the server. */
export function forwardToMany({ ids, window }: { ids: readonly string[]; window: Window }): Promise<Ran> {
  const forwardMany = ableTo('forwardMany')
  return keep(window, done => forwardMany(ids, nextMessage(), done))
}
