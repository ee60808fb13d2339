import type { ChildProcess } from 'node:child_process'
import { readFileSync, rmSync } from 'node:fs'

const children = new Map<ChildProcess, string | undefined>()

/**
 * Kills a child process when this one exits, however it exits short of SIGKILL, and
 * removes its directory.
 *
 * Ends by itself when the child exits. `process.on('exit')` leaves no time for more
 * than SIGKILL, which also ends a process that is paused.
 */
export function killAtExit(child: ChildProcess, directory?: string): void {
  if (children.size === 0) process.on('exit', killAll)
  children.set(child, directory)
  child.once('exit', () => {
    children.delete(child)
    if (children.size === 0) process.removeListener('exit', killAll)
  })
}

function killAll(): void {
  for (const [child, directory] of children) {
    child.kill('SIGKILL')
    if (directory) rmSync(directory, { recursive: true, force: true, maxRetries: 3 })
  }
}

/** Whether there is such a process, and it has not ended. */
export function alive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    // Where no init process reaps orphans, their entries stay behind as zombies.
    return process.platform !== 'linux' || !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ')
  } catch {
    return false
  }
}
