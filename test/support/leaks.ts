import type { ChildProcess } from 'node:child_process'
import type { Server, Socket } from 'node:net'
import { eventually } from './wait'

/** What kept the process alive at one moment. */
export interface Snapshot {
  /** How many there were of each type, as Node names them: Timeout, TCPSocketWrap, ProcessWrap… */
  readonly counts: ReadonlyMap<string, number>
  /** Those which were there, to tell the new ones from them. */
  readonly handles: WeakSet<object>
}

/**
 * Never counted. Mocha runs every step from an Immediate; one alone is gone a turn
 * later, and the work it does shows up as something else. A name that is being looked
 * up is what a server was told of another one's address: nothing can cancel that, and the
 * system's resolver ends it, in its own time.
 */
const harmless = new Set(['Immediate', 'GetAddrInfoReqWrap'])

/**
 * Takes down all that keeps the process alive now.
 *
 * Unref'ed timers and sockets are not among it: a leak is what keeps a process from
 * ending. What mocha, its IPC and its output hold is there before and after, in the
 * same number, so that it needs no list: its own timeout of the running hook, the
 * pipes of the output (which are touched first, since Node makes them when they are
 * first used), and what a suite's `before` started.
 */
export async function snapshot(): Promise<Snapshot> {
  // Mocha starts the timeout of a test or hook once that has returned its promise.
  await Promise.resolve()
  return look()
}

function look(): Snapshot {
  touch(process.stdout)
  touch(process.stderr)
  const counts = new Map<string, number>()
  for (const type of process.getActiveResourcesInfo()) {
    if (!harmless.has(type)) counts.set(type, (counts.get(type) ?? 0) + 1)
  }
  return { counts, handles: new WeakSet(handles()) }
}

/**
 * What is still there and was not before.
 *
 * Sockets and processes take a while to go, so it looks every 10 ms until nothing is
 * left, or for `grace` milliseconds.
 *
 * @param options.grace - Longer than the 2 seconds ioredis gives a connection to end. @default 5000
 * @returns One line per type that there is more of, with what is known about the new ones; empty when all is well.
 */
export async function leaksSince(before: Snapshot, options: { grace?: number } = {}): Promise<string[]> {
  const { grace = 5000 } = options
  try {
    await eventually(() => surplus(before).length === 0, { within: grace })
    return []
  } catch {
    return surplus(before)
  }
}

/** Naming a stream of the process is what makes Node open it. */
function touch(stream: NodeJS.WriteStream): boolean {
  return stream.writable
}

function surplus(before: Snapshot): string[] {
  const lines: string[] = []
  for (const [type, count] of look().counts) {
    const more = count - (before.counts.get(type) ?? 0)
    if (more > 0) lines.push(`${more} ${type}`)
  }
  if (lines.length === 0) return lines
  return [
    ...lines,
    ...handles()
      .filter(handle => !before.handles.has(handle))
      .map(handle => `  ${describe(handle)}`)
  ]
}

/** Undocumented, but the only way to say which socket it is; without it a leak is merely counted. */
function handles(): object[] {
  return (process as { _getActiveHandles?: () => object[] })._getActiveHandles?.() ?? []
}

function describe(handle: object): string {
  const { remotePort, localPort } = handle as Socket
  const { pid, spawnfile } = handle as ChildProcess
  const server = handle as Server
  if (spawnfile) return `the process ${pid ?? '?'} of ${spawnfile}`
  if (server.listening) return `a server on ${JSON.stringify(server.address())}`
  if (localPort) return `a socket from port ${localPort} to ${remotePort ?? 'nowhere'}`
  return `a ${handle.constructor.name}`
}
