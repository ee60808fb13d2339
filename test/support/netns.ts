import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { PROGRAM } from './server-pool'

/** How to make a network namespace here: as root, or in a user namespace of its own. */
const WAYS = [['-n'], ['-U', '-r', '-n']] as const

/** Brings up the loopback interface of a new network namespace, and becomes the program that is named behind it. */
const LOOPBACK = 'ip link set lo up && exec "$0" "$@"'

let found: readonly string[] | null | undefined

/**
 * The arguments of `unshare` that work here; `null` where no network namespace can be made, so that what needs one
 * cannot be tried.
 */
export function namespaces(): readonly string[] | null {
  found ??= WAYS.find(way => spawnSync('unshare', [...way, 'sh', '-c', 'ip link set lo up']).status === 0) ?? null
  return found
}

/**
 * Makes the process of a server in a network namespace of its own: `startServer({ fork: forkApart, … })`. It reaches
 * this machine by unix sockets alone.
 */
export function forkApart(): ChildProcess {
  return run('unshare', [...(namespaces() ?? []), 'sh', '-c', LOOPBACK, process.execPath, PROGRAM])
}

/** Makes the process of a server in the network namespace of another process. */
export function forkBeside(pid: number): ChildProcess {
  const user = namespaces()?.includes('-U') === true ? ['-U', '--preserve-credentials'] : []
  return run('nsenter', ['-t', String(pid), ...user, '-n', process.execPath, PROGRAM])
}

function run(command: string, args: readonly string[]): ChildProcess {
  return spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe', 'ipc'], serialization: 'advanced' })
}
