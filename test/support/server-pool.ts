import { fork, type ChildProcess } from 'node:child_process'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { killAtExit } from './orphans'

/** What the process of a server runs. */
export const PROGRAM = join(__dirname, 'server-process.js')

/** How many processes wait at most; each takes about 80 MB. */
const LIMIT = 4

/** Processes whose servers were stopped, the last one last. */
const idle: ChildProcess[] = []

/** A process that waits to become a server: one that was given back, or a new one. */
export function takeProcess(): ChildProcess {
  const child = idle.pop() ?? forkProcess()
  hold(child, true)
  return child
}

function forkProcess(): ChildProcess {
  const child = fork(PROGRAM, [], { stdio: ['ignore', 'pipe', 'pipe', 'ipc'], serialization: 'advanced' })
  killAtExit(child)
  // A message that cannot be sent is a matter of its callback.
  child.on('error', () => undefined)
  child.once('exit', () => {
    const at = idle.indexOf(child)
    if (at >= 0) idle.splice(at, 1)
  })
  return child
}

/** Give back a process that is idle. It keeps this one no longer alive. */
export function giveProcess(child: ChildProcess): void {
  if (idle.length >= LIMIT || !child.connected) {
    child.disconnect()
    return
  }
  hold(child, false)
  idle.push(child)
}

/** Whether a child keeps this process alive. */
function hold(child: ChildProcess, held: boolean): void {
  for (const one of [child, child.channel, child.stdout as Socket | null, child.stderr as Socket | null]) {
    if (held) one?.ref()
    else one?.unref()
  }
}
