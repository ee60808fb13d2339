import type { ChildProcess } from 'node:child_process'
import { rmSync } from 'node:fs'

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
