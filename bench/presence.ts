/** What it costs that users come and go while others want to know: `grace`, and `watch`. */
import { setTimeout as sleep } from 'node:timers/promises'
import { ignore } from '../lib/common/callback'
import { eventually } from '../test/support/wait'
import type { Child } from './harness/child'
import { now } from './harness/clock'
import { come, go, madeUp, makeUp, present, written } from './harness/pretend'
import { server } from './harness/server'
import type { Measured, Stage } from './harness/stage'
import type { Ran } from './harness/window'
import type { Work } from './harness/work'

const PRETEND = require.resolve('./harness/pretend')
/** Users that come and go, of which so many do within one turn of the event loop. */
const [USERS, TOGETHER] = [20_000, 100]
/** The share of them that warms up. */
const WARM = 1 / 4
/** Users that reconnect. */
const RECONNECTING = 10_000
/** Milliseconds. */
const [GRACE, LONG, SHORTEST] = [300, 10_000, 2000]
/** How long after it went a user is back, and between two looks at whose turn it is, in ms. */
const [AWAY, STEP] = [500, 20]
const COMMAND = 'presence'
const patience = 60_000

/** Whether there is presence, and which of two servers watches; the first one has the sparks. */
interface Way {
  readonly as: string
  /** In ms; absent: no presence. */
  readonly grace?: number
  readonly watches?: 'own' | 'other'
}

const ways: readonly Way[] = [
  { as: 'without grace' },
  { as: 'no server watches', grace: GRACE },
  { as: 'their server watches', grace: GRACE, watches: 'own' },
  { as: 'another server watches', grace: GRACE, watches: 'other' }
]

const transitions = ways.map(({ as, grace, watches }): Work => ({
  name: `presence, ${as}`,
  command: COMMAND,
  ours: true,
  cast: () => ({ servers: 2, options: { metroplex: { ...(grace !== undefined && { grace }) } } }),

  async *measure(stage, { size }) {
    const watcher = watches === 'own' ? stage.sender : watches === 'other' ? stage.receivers[0] : undefined
    const users = Math.ceil((USERS * size) / TOGETHER) * TOGETHER
    const warm = Math.ceil((users * WARM) / TOGETHER) * TOGETHER
    await stage.sender.run(PRETEND, makeUp, users)
    await watcher?.run(__filename, watch, undefined)
    await stage.warm({ run: () => toldOf(stage, watcher, arrive, 'online', warm) })
    await stage.warm({ run: () => toldOf(stage, watcher, depart, 'offline', warm) })
    const andTold = (row: string, event: Event): string =>
      watcher === undefined ? row : `${row}, and are told ${event}`
    const measured = (row: string, does: Transition, event: Event): Promise<Measured> =>
      stage.measure({ row, operation: 'user', run: () => toldOf(stage, watcher, does, event, users) })
    yield await measured(andTold('users come', 'online'), arrive, 'online')
    yield await measured(andTold('users go', 'offline'), depart, 'offline')
  }
}))

/** A rolling restart, or a network that changes: what is told is counted as failed. */
const reconnects: Work = {
  name: 'presence, reconnects',
  command: COMMAND,
  ours: true,
  cast: ({ size }) => ({ servers: 2, options: { metroplex: { grace: graceOf(size) } } }),

  async *measure(stage, { size }) {
    const {
      sender,
      receivers: [receiver]
    } = stage
    if (receiver === undefined) return
    const [count, ms] = [Math.ceil((RECONNECTING * size) / TOGETHER) * TOGETHER, LONG * size]
    for (const one of [sender, receiver]) await one.run(PRETEND, makeUp, count)
    await receiver.run(__filename, watch, undefined)
    await toldOf(stage, receiver, arrive, 'online', count)
    const measured = await stage.measure({
      row: `${count} users within ${ms / 1000} s, each to another server`,
      operation: 'reconnect',
      run: async () => {
        const leaving = sender.run(__filename, leaveSlowly, { count, ms })
        await sleep(AWAY)
        const ran = await receiver.run(__filename, returnSlowly, { count, ms })
        return { ...ran, began: (await leaving).began }
      }
    })
    await sleep(graceOf(size) + SHORTEST)
    yield { ...measured, failed: await receiver.run(__filename, told, undefined) }
  }
}

/** All of them; their command is `presence`. */
export const presence: readonly Work[] = [...transitions, reconnects]

function graceOf(size: number): number {
  return Math.max(SHORTEST, LONG * size)
}

type Event = 'online' | 'offline'
type Transition = typeof arrive

/** Users come or go; over when the registry has it, and the watcher has told it of all of them. */
async function toldOf(
  { sender }: Stage,
  watcher: Child | undefined,
  does: Transition,
  event: Event,
  count: number
): Promise<Ran> {
  const ran = await sender.run(__filename, does, count)
  if (watcher === undefined) return ran
  return { ...ran, ended: await watcher.run(__filename, awaitTold, { event, count }) }
}

/** How often each event was told to this process, less those that were awaited. */
const counts: Record<Event, number> = { online: 0, offline: 0 }

/** In the server. */
export function watch(): void {
  server().metroplex.watch?.({ online: () => counts.online++, offline: () => counts.offline++ })
}

/** In the server that watches. @returns when all were told */
export async function awaitTold({ event, count }: { event: Event; count: number }): Promise<number> {
  await eventually(() => counts[event] >= count, { what: `${count} users ${event}`, within: patience, every: 2 })
  counts[event] -= count
  return now()
}

/** In the server that watches. @returns how many events were told that were not awaited */
export function told(): number {
  return counts.online + counts.offline
}

/** How often users have come: each time they are others. */
let times = 0

/** In the server: sparks of so many users connect. */
export async function arrive(count: number): Promise<Ran> {
  const began = now()
  times++
  for (let i = 0; i < count; i += TOGETHER) {
    comeAs(Array.from({ length: TOGETHER }, (_, user) => `user ${times} ${i + user}`))
    await written()
  }
  return { operations: count, failed: 0, began, ended: now() }
}

/** In the server: so many disconnect, those that came last first. */
export async function depart(count: number): Promise<Ran> {
  const began = now()
  for (let i = 0; i < count; i += TOGETHER) {
    go(TOGETHER)
    await written()
  }
  return { operations: count, failed: 0, began, ended: now() }
}

interface Slowly {
  count: number
  ms: number
}

/** In the server that they leave: the last one first. */
export function leaveSlowly(pace: Slowly): Promise<Ran> {
  return slowly(pace, (_, count) => go(count))
}

/** In the server that they come to, in the same order. */
export function returnSlowly(pace: Slowly): Promise<Ran> {
  return slowly(pace, (from, count) => {
    comeAs(Array.from({ length: count }, (_, i) => `user 1 ${pace.count - 1 - from - i}`))
  })
}

/** Does something with all of so many, at an even pace. */
async function slowly({ count, ms }: Slowly, does: (from: number, count: number) => unknown): Promise<Ran> {
  const began = now()
  for (let done = 0; done < count;) {
    const due = Math.min(count, Math.ceil((count * (now() - began)) / ms))
    if (due > done) does(done, due - done)
    done = due
    await sleep(STEP)
  }
  await written()
  return { operations: count, failed: 0, began, ended: now() }
}

/** The next sparks that were made up connect, as these users. */
function comeAs(users: readonly string[]): void {
  const { metroplex } = server()
  const ids = madeUp().slice(present(), present() + users.length)
  come(users.length)
  // What fails is written later, and `written` waits for it.
  for (const [i, id] of ids.entries()) metroplex.identify?.(id, users[i] ?? '').catch(ignore)
}
