import { spawn, type ChildProcess } from 'node:child_process'
import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { assume } from '../support/assume'
import { using } from '../support/dispose'
import { alive, killAtExit } from '../support/orphans'
import { eventually } from '../support/wait'

const LIB = join(__dirname, '..', '..', 'lib')
const NODEMON = require.resolve('nodemon/bin/nodemon.js')

const MAIN = (version: string): string => `console.log('main ${version}')
  const { Supervisor } = require('${LIB}/supervisor')
  const supervisor = new Supervisor({ web: { exec: './job.js', count: 2 }, esm: { exec: './job.mjs' } })
  supervisor.on('message', (_worker, message) => console.log('message ' + JSON.stringify(message)))
  supervisor.start().then(() => console.log('started by ' + process.pid))`
const JOB = (version: string): string => `const me = require('${LIB}/supervisor').worker()
  require('./part'); me.send('job ${version}'); me.ready(); setInterval(() => {}, 1000)`
const PART = (version: string): string => `process.send('part ${version}')`

/** A program with workers, in a folder of its own, that is restarted by a watcher when its files change. */
class Watched {
  readonly folder = realpathSync(mkdtempSync(join(tmpdir(), 'metroplex-watched-')))
  #child: ChildProcess | undefined
  #text = ''

  constructor() {
    for (const [name, text] of [
      ['main.js', MAIN('one')],
      ['job.js', JOB('one')],
      ['part.js', PART('one')],
      ['job.mjs', "import './job.js'"]
    ] as const)
      this.write(name, text)
    using(async () => {
      if (this.#child?.pid !== undefined) process.kill(-this.#child.pid, 'SIGKILL')
      await eventually(() => this.supervisors().every(pid => !alive(pid)), { what: 'the end of all supervisors' })
      rmSync(this.folder, { recursive: true, force: true })
    })
  }

  write(name: string, text: string): void {
    writeFileSync(join(this.folder, name), text)
  }

  watch(args: readonly string[]): void {
    const child = (this.#child = spawn(process.execPath, args, {
      cwd: this.folder,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe']
    }))
    killAtExit(child)
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => {
        this.#text += chunk.toString()
      })
  }

  /** The processes of the supervisors that have started, in their order. */
  supervisors(): number[] {
    return [...this.#text.matchAll(/started by (\d+)/g)].map(([, pid]) => Number(pid))
  }

  /** Resolves when another supervisor has started after `count` of them, alone, whose messages have been these. */
  async restarted(count: number, messages: readonly string[]): Promise<void> {
    await eventually(
      () => {
        const pids = this.supervisors()
        if (pids.length <= count) throw new Error(this.#text)
        // A watcher may see one change twice, and restart once more.
        assume(this.messages()).deep.equals(messages)
        return pids.slice(0, -1).every(pid => !alive(pid))
      },
      { within: 30_000, what: `a supervisor after ${count}` }
    )
  }

  /** The messages that the latest supervisor has emitted. */
  messages(): string[] {
    const latest = this.#text.slice(this.#text.lastIndexOf('main '))
    return [...latest.matchAll(/^message (.*)$/gm)].map(([, message = '']) => message).sort()
  }

  get text(): string {
    return this.#text
  }
}

/** What three workers send, of these versions. */
const sent = (job: string, part: string): string[] =>
  [job, job, job].map(version => `"job ${version}"`).concat([part, part, part].map(version => `"part ${version}"`))

describe('supervisor: under a watcher', function () {
  this.timeout(120_000)

  for (const [watcher, args] of [
    ['node --watch', ['--watch', 'main.js']],
    ['node --watch-path', ['--watch-path=.', 'main.js']],
    [
      'nodemon --signal SIGTERM',
      [
        NODEMON,
        '--quiet',
        '--signal',
        'SIGTERM',
        '--ext',
        'js,mjs',
        '--legacy-watch',
        '--polling-interval',
        '50',
        'main.js'
      ]
    ]
  ] as const) {
    it(`${watcher} restarts it when a file of it, a worker or module changes; its messages are not ours`, async () => {
      const watched = new Watched()
      watched.watch(args)
      await watched.restarted(0, sent('one', 'one'))
      for (const [name, text, messages] of [
        ['job.js', JOB('two'), sent('two', 'one')],
        ['part.js', PART('two'), sent('two', 'two')],
        ['main.js', MAIN('two'), sent('two', 'two')]
      ] as const) {
        const count = watched.supervisors().length
        watched.write(name, text)
        await watched.restarted(count, messages)
      }
      assume(watched.text).includes('main two')
    })
  }
})
