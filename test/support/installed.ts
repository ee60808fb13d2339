import { spawn } from 'node:child_process'
import { accessSync, constants, statSync } from 'node:fs'
import { delimiter, join } from 'node:path'

/** Commands of a package manager that install something, each a list of arguments. */
export interface Manager {
  readonly command: string
  readonly steps: readonly (readonly string[])[]
  /** Homebrew refuses to be root; the others have to be. */
  readonly root: boolean
}

/** A program that tests need. */
export interface NeededProgram {
  /** The names that it may have on the PATH. */
  readonly names: readonly string[]
  /** How it is installed, by the first of these that is there. */
  readonly managers: readonly Manager[]
  /** A sentence without its end: what is missing, and why it is needed. */
  readonly missing: string
  /** Why it could not be had, in a sentence. */
  readonly unavailable: (reason: string) => string
  readonly environment?: Readonly<Record<string, string>>
}

/** Steps for Debian's package manager. */
export function aptInstall(name: string): Manager {
  return {
    command: 'apt-get',
    steps: [['update'], ['install', '-y', '--no-install-recommends', name]],
    root: true
  }
}

const attempts = new Map<NeededProgram, Promise<string>>()

/**
 * The path of a program, installing it when there is none.
 *
 * It looks on the PATH first, so it is cheap to call. Otherwise it takes the system's
 * package manager, with `sudo -n` when that is needed, says so, and may take minutes.
 * Calls while an installation runs share it; after a failure the next call tries again.
 *
 * @param say - Told in one line what is done and why, before it is done. @default a line on stderr
 * @throws An error which says in one sentence what to install by hand.
 */
export async function findOrInstall(program: NeededProgram, say: (line: string) => void = complain): Promise<string> {
  const found = onPath(program.names)
  if (found !== undefined) return found
  const attempt =
    attempts.get(program) ??
    install(program, say).finally(() => {
      attempts.delete(program)
    })
  attempts.set(program, attempt)
  return attempt
}

async function install(program: NeededProgram, say: (line: string) => void): Promise<string> {
  const { names, managers, missing, environment = {} } = program
  const unavailable = (reason: string): Error => new Error(program.unavailable(reason))
  const manager = managers.find(({ command }) => which(command))
  if (!manager) throw unavailable('no package manager known to us is on the PATH')

  const sudo = manager.root && process.getuid?.() !== 0
  if (sudo && !which('sudo')) throw unavailable(`${manager.command} needs root, and there is no sudo`)

  for (const step of manager.steps) {
    const command = [manager.command, ...step]
    // sudo drops the environment, unlike env.
    if (sudo) command.unshift('sudo', '-n', '/usr/bin/env', ...Object.entries(environment).map(pair => pair.join('=')))
    say(`${missing}: running ${command.join(' ')}`)
    const failure = await run(command, environment)
    if (failure) throw unavailable(`\`${command.join(' ')}\` failed: ${failure}`)
  }

  const found = onPath(names)
  if (found === undefined) throw unavailable(`${manager.command} installed a package without one on the PATH`)
  return found
}

/** Resolves with why the command failed, or with nothing. */
function run(
  [file = '', ...args]: readonly string[],
  environment: Readonly<Record<string, string>>
): Promise<string | undefined> {
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

/** The path of the first of these programs that is on the PATH. */
export function onPath(names: readonly string[]): string | undefined {
  return names.map(which).find(Boolean)
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

function complain(line: string): void {
  process.stderr.write(`metroplex: ${line}\n`)
}
