import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { assume } from '../support/assume'
import { alive, killAtExit } from '../support/orphans'
import { eventually, once } from '../support/wait'
import { COMMAND, Deployed, Releases } from '../supervisor/deployed'
import type { Row } from './row'

const PROGRAM = join(__dirname, '..', 'cli', 'program.js')
const WORKERS = 4

/**
 * Runs workers that write lines in one call at their end, and ends them by SIGTERM.
 *
 * @param late whether their output is read only when the last one has ended
 * @returns how many lines were not read
 */
async function lost(lines: number, late: boolean): Promise<number> {
  const child = spawn(
    process.execPath,
    [COMMAND, 'run', PROGRAM, '--workers', String(WORKERS), '--', `last=${lines}`],
    {
      stdio: ['ignore', 'pipe', 'pipe']
    }
  )
  killAtExit(child)
  const exit = once(child, 'exit', { within: 60_000 })
  let [told, read] = ['', '']
  child.stderr.on('data', (chunk: Buffer) => {
    told += chunk.toString()
  })
  const begin = (): void => {
    child.stdout.on('data', (chunk: Buffer) => {
      read += chunk.toString()
    })
  }
  if (!late) begin()
  const all = (what: RegExp): Promise<unknown> => {
    return eventually(() => told.match(what)?.length === WORKERS, {
      within: 30_000,
      what: `${WORKERS} times ${what.source}`
    })
  }
  await all(/ is ready/g)
  child.kill('SIGTERM')
  await all(/ has ended, with code 0/g)
  if (late) begin()
  assume((await exit)[0]).equals(0)
  await eventually(() => child.stdout.readableEnded, { within: 30_000, what: 'the end of its output' })
  return WORKERS * lines - (read.match(/^web-\d +\| last \d+ x{80}$/gm)?.length ?? 0)
}

export const supervised: readonly Row[] = [
  {
    id: 'F57',
    fault:
      'at SIGTERM, four workers of `metroplex run` each write 27 KB in one call and end; then 2 MB each, to a late ' +
      'reader',
    promise: 'every line is written before the command exits, with 0',
    measures: [
      { what: 'lost', unit: 'lines', atMost: 0 },
      { what: 'with a late reader', unit: 'lines', atMost: 0 }
    ],
    health: [],
    async provoke() {
      return [await lost(300, false), await lost(20_000, true)]
    }
  },
  {
    id: 'F58',
    fault:
      'the link of the working directory moves to a new release and the old one is deleted; then SIGUSR2 to the ' +
      'supervisor, and SIGKILL of a worker',
    promise: 'new workers run the new release, under `main.js` and under `metroplex run`',
    measures: [
      { what: 'started from the new release', unit: '%', atLeast: 100 },
      { what: 'a killed worker is back after', unit: 'ms', atMost: 5000, long: true }
    ],
    health: [],
    async provoke() {
      const times: number[] = []
      for (const line of ['main.js', `${COMMAND} run server.js -w 1`]) {
        const releases = new Releases()
        const deployed = new Deployed(`sh -c 'cd current && exec ${process.execPath} ${line}'`, { cwd: releases.path })
        const old = await deployed.started(1, 'one')
        releases.lead('two')
        releases.remove('one')
        deployed.signal('SIGUSR2')
        const pid = await deployed.started(2, 'two')
        await eventually(() => !alive(old), { within: 20_000, what: 'the end of the recycling' })
        const began = performance.now()
        process.kill(pid, 'SIGKILL')
        await deployed.started(3, 'two')
        times.push(performance.now() - began)
      }
      return [100, Math.max(...times)]
    }
  }
]
