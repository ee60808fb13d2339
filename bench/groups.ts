/** Messages to groups, and what it costs that sparks enter them. */
import { ableTo } from './harness/actor'
import { now } from './harness/clock'
import { nextMessage } from './harness/message'
import { comeAll, madeUp, makeUp } from './harness/pretend'
import { server } from './harness/server'
import { keep, named, windows, type Ran, type Window } from './harness/window'
import type { Work } from './harness/work'

const [SERVERS, WITH_SPARKS, SPARKS] = [20, 3, 5]
const GROUP = 'a group'

export const groups: Work = {
  name: 'groups',
  cast: ({ size }) => ({ servers: Math.max(2 * WITH_SPARKS, Math.round(SERVERS * size)), clients: SPARKS }),

  async *measure(stage, { ms, warm }) {
    const servers = stage.receivers.length + 1
    const ids = stage.ids.slice(1, 1 + WITH_SPARKS).flat()
    await stage.sender.run(__filename, enter, ids)
    for (const window of windows(stage.subject, [1, 64])) {
      yield await stage.row({
        row: `a group on ${WITH_SPARKS} of ${servers} servers, ${named(window)}`,
        operation: 'delivery',
        delivers: true,
        ms,
        warm,
        run: ms => stage.sender.run(__filename, forwardToGroup, { ...window, ms, each: ids.length })
      })
    }
  }
}

/** How many sparks enter groups at a time. */
const TOGETHER = 100
const [FEW, MOST] = [2000, 20_000]

export const joins: Work = {
  name: 'joins',
  command: 'groups',
  // No other one has groups that all servers know.
  ours: true,
  cast: () => ({ servers: 1 }),

  async *measure(stage, { size }) {
    const { sender } = stage
    const sparks = Math.max(FEW, MOST * size)
    await sender.run(__filename, comeMany, sparks + FEW)
    await stage.registered(sparks + FEW)
    await stage.warm({ run: () => sender.run(__filename, enterOwn, { first: 0, count: FEW }) })
    yield await stage.measure({
      row: `the first spark of this server in its group, ${TOGETHER} at a time`,
      operation: 'join',
      run: () => sender.run(__filename, enterOwn, { first: FEW, count: sparks })
    })
    yield await stage.measure({
      row: `a further spark of this server in a group, ${TOGETHER} at a time`,
      operation: 'join',
      run: () => sender.run(__filename, enterNext, { first: FEW, count: sparks })
    })
  }
}

interface Part {
  first: number
  count: number
}

/** In the server: sparks of any server enter the group. */
export function enter(ids: readonly string[]): Promise<void> {
  return ableTo('enter')(ids, GROUP)
}

/** In the server. */
export function forwardToGroup(window: Window & { each: number }): Promise<Ran> {
  const toGroup = ableTo('forwardGroup')
  return keep(window, done => toGroup(GROUP, window.each, nextMessage(), done))
}

/** In the server: sparks without clients. */
export async function comeMany(count: number): Promise<void> {
  await makeUp(count)
  await comeAll()
}

/** In the server: each spark enters a group of its own. */
export function enterOwn(part: Part): Promise<Ran> {
  return joinEach(part, id => `group of ${id}`)
}

/** In the server: each spark enters the group of the next one. */
export function enterNext(part: Part): Promise<Ran> {
  return joinEach(part, (_, next) => `group of ${next}`)
}

async function joinEach({ first, count }: Part, groupOf: (id: string, next: string) => string): Promise<Ran> {
  const { metroplex } = server()
  const join = metroplex.join?.bind(metroplex)
  if (join === undefined) throw new Error('This subject knows no groups.')
  const ids = madeUp()
  const began = now()
  for (let at = first; at < first + count; at += TOGETHER) {
    await Promise.all(
      ids
        .slice(at, at + TOGETHER)
        .map((id, i) => join(id, groupOf(id, ids[Math.max(first, (at + i + 1) % count)] ?? '')))
    )
  }
  return { operations: count, failed: 0, began, ended: now() }
}
