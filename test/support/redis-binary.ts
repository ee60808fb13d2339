import { spawn } from 'node:child_process'
import { accessSync, constants, statSync } from 'node:fs'
import { delimiter, join } from 'node:path'

const servers = ['redis-server', 'valkey-server']

interface Manager {
  command: string
  /** Commands to run one after the other, each a list of arguments. */
  steps: string[][]
  /** Homebrew refuses to be root; the others have to be. */
  root: boolean
}

const managers: Manager[] = [
  {
    command: 'apt-get',
    steps: [['update'], ['install', '-y', '--no-install-recommends', 'redis-server']],
    root: true
  },
  { command: 'apk', steps: [['add', '--no-cache', 'redis']], root: true },
  { command: 'dnf', steps: [['install', '-y', 'redis']], root: true },
  { command: 'yum', steps: [['install', '-y', 'redis']], root: true },
  { command: 'pacman', steps: [['-Sy', '--noconfirm', 'redis']], root: true },
  { command: 'brew', steps: [['install', 'redis']], root: false }
]

// RUNLEVEL=1 keeps Debian's package from starting the service we have no use for.
const environment = { DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' }

let attempt: Promise<string> | undefined

/**
 * The path of a `redis-server` or `valkey-server`, installing one when there is none.
 *
 * It looks on the PATH first, so it is cheap to call. Otherwise it takes the system's
 * package manager, with `sudo -n` when that is needed, says so, and may take minutes.
 * Calls while an installation runs share it; after a failure the next call tries again.
 *
 * @param say - Told in one line what is done and why, before it is done. @default a line on stderr
 * @throws An error which says in one sentence what to install by hand.
 */
export async function findRedis(say: (line: string) => void = complain): Promise<string> {
  const found = search()
  if (found) return found
  attempt ??= install(say).finally(() => {
    attempt = undefined
  })
  return attempt
}

async function install(say: (line: string) => void): Promise<string> {
  const manager = managers.find(({ command }) => which(command))
  if (!manager) throw unavailable('no package manager known to us is on the PATH')

  const sudo = manager.root && process.getuid?.() !== 0
  if (sudo && !which('sudo')) throw unavailable(`${manager.command} needs root, and there is no sudo`)

  for (const step of manager.steps) {
    const command = [manager.command, ...step]
    // sudo drops the environment, unlike env.
    if (sudo) command.unshift('sudo', '-n', '/usr/bin/env', ...Object.entries(environment).map(pair => pair.join('=')))
    say(
      'no redis-server or valkey-server on the PATH, and the tests and examples need a real one: running ' +
        command.join(' ')
    )
    const failure = await run(command)
    if (failure) throw unavailable(`\`${command.join(' ')}\` failed: ${failure}`)
  }

  const found = search()
  if (!found) throw unavailable(`${manager.command} installed a package without a server on the PATH`)
  return found
}

/** Resolves with why the command failed, or with nothing. */
function run([file = '', ...args]: string[]): Promise<string | undefined> {
  return new Promise(resolve => {
    const child = spawn(file, args, { env: { ...process.env, ...environment }, stdio: ['ignore', 'ignore', 'pipe'] })
    let tail = ''
    child.stderr.on('data', (chunk: Buffer) => {
      tail = (tail + chunk.toString()).slice(-300)
    })
    child.once('error', error => resolve(error.message))
    child.once('close', (code, signal) => {
      const last = tail.trim().split('\n').at(-1)
      const reason = last ? last : `it ended with ${code ?? signal ?? 'nothing'}`
      resolve(code === 0 ? undefined : reason)
    })
  })
}

/** The path of a `valkey-server`, if there is one on the PATH; none is installed. */
export function findValkey(): string | undefined {
  return which('valkey-server')
}

function search(): string | undefined {
  return servers.map(which).find(Boolean)
}

function which(command: string): string | undefined {
  return (process.env['PATH'] ?? '')
    .split(delimiter)
    .filter(Boolean)
    .map(directory => join(directory, command))
    .find(executable)
}

function executable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}

function unavailable(reason: string): Error {
  return new Error(
    `There is no redis-server or valkey-server and it could not be installed (${reason}): ` +
      'install redis 6.2 or later by hand, so that it is on the PATH, or set REDIS_URL to a Redis that runs'
  )
}

function complain(line: string): void {
  process.stderr.write(`metroplex: ${line}\n`)
}
