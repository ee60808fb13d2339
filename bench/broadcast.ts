/** A message to all clients of three servers. */
import { ableTo } from './harness/actor'
import { nextMessage } from './harness/message'
import type { Measured, Stage } from './harness/stage'
import { keep, named, windows, type By, type Ran, type Window } from './harness/window'
import type { Scale, Work } from './harness/work'

const SERVERS = 3

export const broadcast: Work = {
  name: 'broadcast',
  cast: ({ clients }) => ({ servers: SERVERS, clients }),

  async *measure(stage, scale) {
    for (const window of windows(stage.subject, [1, 4])) yield await measured(stage, scale, window)
  }
}

/** The same for clients that come over SockJS. */
export const sockjs: Work = {
  name: 'sockjs',
  cast: ({ clients }) => ({ servers: SERVERS, clients, transformer: 'sockjs' }),

  async *measure(stage, scale) {
    yield await measured(stage, scale, { inFlight: 1, by: 'callback' })
  }
}

function measured(stage: Stage, { ms, warm, clients }: Scale, window: { inFlight: number; by: By }): Promise<Measured> {
  return stage.row({
    row: `${SERVERS} × ${clients} clients, ${named(window)}`,
    operation: 'delivery',
    delivers: true,
    ms,
    warm,
    run: ms => stage.sender.run(__filename, forwardToAll, { ...window, ms, each: SERVERS * clients })
  })
}

/** In the server: to all, who are so many as messages come of a call. */
export function forwardToAll(window: Window & { each: number }): Promise<Ran> {
  const toAll = ableTo('broadcast')
  return keep(window, done => toAll(window.each, nextMessage(), done))
}
