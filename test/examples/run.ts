import { spawn } from 'node:child_process'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { assume } from '../support/assume'
import { using } from '../support/dispose'
import { withModules } from '../support/modules'
import { alive, killAtExit } from '../support/orphans'
import { eventually } from '../support/wait'

/** An example as a process, with a temporary directory of its own in which it must leave nothing. */
export interface Run {
  /** What it has said so far. */
  text(): string
  /** Waits for something it says. */
  said(pattern: RegExp): Promise<RegExpExecArray>
  signal(name: NodeJS.Signals): void
  ended: Promise<number | null>
  /** What it started, as far as it told. */
  pids(): number[]
  temporary: string
}

/** Starts an example. It is ended with the test. @param file in the folder of the examples */
export async function run(file: string, ...args: string[]): Promise<Run> {
  const temporary = await mkdtemp(join(tmpdir(), 'metroplex-example-test-'))
  const child = spawn(process.execPath, [join(__dirname, '..', '..', 'examples', file), ...args], {
    // It watches its parent when npm started it, and npm may have started us.
    env: { ...process.env, ...withModules(), TMPDIR: temporary, npm_lifecycle_event: 'test' },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  killAtExit(child, temporary)
  let text = ''
  child.stdout.on('data', (chunk: Buffer) => {
    text += chunk.toString()
  })
  child.stderr.on('data', (chunk: Buffer) => {
    text += chunk.toString()
  })
  const ended = new Promise<number | null>(resolve => {
    child.once('close', resolve)
  })
  using(async () => {
    // SIGTERM has it take its own processes along.
    child.kill('SIGTERM')
    await ended
    await rm(temporary, { recursive: true, force: true })
  })
  return {
    text: () => text,
    said: pattern =>
      eventually(
        () => {
          if (child.exitCode !== null) throw new Error(`it has ended:\n${text}`)
          return pattern.exec(text)
        },
        { within: 30_000, what: `${String(pattern)} in what it says` }
      ),
    signal: name => {
      child.kill(name)
    },
    ended,
    pids: () => [...text.matchAll(/\(.*?pid (\d+)\)/g)].map(([, pid]) => Number(pid)),
    temporary
  }
}

/** Resolves when all that it started has ended, and finds that it has left no files. */
export async function nothingIsLeft(example: Run): Promise<void> {
  await eventually(() => example.pids().filter(alive).length === 0, {
    within: 15_000,
    what: 'the end of all processes'
  })
  assume(await readdir(example.temporary)).deep.equals([])
}
