import { spawn, type ChildProcess } from 'node:child_process'
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { assume } from '../support/assume'
import { using } from '../support/dispose'
import { killAtExit } from '../support/orphans'
import { eventually, once } from '../support/wait'

const LIB = join(__dirname, '..', '..', 'lib')
/** The command metroplex. */
export const COMMAND = join(LIB, 'cli', 'metroplex.js')

/** A worker: it says which release it is of, by its own file and by a file of its working directory. */
const SERVER = `const { readFileSync } = require('fs')
console.log('release ' + require('./name') + ' in ' + readFileSync('name.txt', 'utf8') + ' at ' + process.pid)
process.send('ready'); setInterval(() => {}, 1000)`
/** A program that runs such workers. */
export const main = (terms: string): string =>
  `const { Supervisor } = require('${LIB}/supervisor'); new Supervisor({ web: { ${terms} } }).start().catch(() => {})`

/** A folder of releases, and the link \`current\`, which leads to one of them. */
export class Releases {
  readonly path = mkdtempSync(join(tmpdir(), 'metroplex-releases-'))

  constructor() {
    using(() => {
      rmSync(this.path, { recursive: true, force: true })
    })
    for (const name of ['one', 'two']) {
      mkdirSync(join(this.path, name))
      writeFileSync(join(this.path, name, 'name.js'), `module.exports = '${name}'`)
      writeFileSync(join(this.path, name, 'name.txt'), name)
      writeFileSync(join(this.path, name, 'server.js'), SERVER)
      writeFileSync(join(this.path, name, 'main.js'), main("exec: './server.js'"))
    }
    this.lead('one')
  }

  get current(): string {
    return join(this.path, 'current')
  }

  /** Let the link lead to that one. */
  lead(name: string): void {
    symlinkSync(name, join(this.path, 'next'))
    renameSync(join(this.path, 'next'), this.current)
  }

  remove(name: string): void {
    rmSync(join(this.path, name), { recursive: true })
  }
}

/** A supervisor in a process of its own, started by a shell, and what its workers have said of their releases. */
export class Deployed {
  readonly #child: ChildProcess
  #text = ''

  constructor(line: string, options: { cwd: string; env?: Record<string, string | undefined> }) {
    this.#child = spawn('sh', ['-c', `exec ${line}`], { stdio: ['ignore', 'pipe', 'pipe'], ...options })
    killAtExit(this.#child)
    for (const stream of [this.#child.stdout, this.#child.stderr])
      stream?.on('data', (chunk: Buffer) => {
        this.#text += chunk.toString()
      })
    const closed = once(this.#child, 'close', { within: 60_000 })
    using(async () => {
      this.#child.kill('SIGTERM')
      await closed
    })
  }

  /**
   * Resolves with the process of the latest worker, when that many have started, the latest of them of that release.
   */
  async started(count: number, release: string): Promise<number> {
    return eventually(
      () => {
        const all = [...this.#text.matchAll(/release (\w+) in (\w+) at (\d+)/g)]
        const [, program, directory, pid] = all[count - 1] ?? []
        if (program === undefined) throw new Error(this.#text)
        assume([program, directory]).deep.equals([release, release])
        return Number(pid)
      },
      { within: 20_000, what: `worker ${count}, of release ${release}` }
    )
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name)
  }
}
