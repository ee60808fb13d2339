import { spawn, type ChildProcess } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { killAtExit } from '../../test/support/orphans'
import { deadline } from '../../test/support/wait'
import { PART, type Part } from './part'
import type { Registry } from './registry'

/** How long a program may take to listen, or to end when it is told to, in ms. */
const PATIENCE = 15_000

/** One program of an example, as a process of its own: it is told what to use by its environment, and says on its output what happens. */
export class App {
  readonly pid: number
  /** How it ended: its exit code, `null` when it was killed. */
  readonly exit: Promise<number | null>
  /** Where it listens; `''` before. */
  url = ''
  readonly #child: ChildProcess
  readonly #listening: Promise<string>

  /** @param say told each line that it writes */
  constructor(readonly name: string, file: string, { url, directory, namespace }: Registry & { readonly namespace: string }, say: (line: string) => void) {
    const child = this.#child = spawn(process.execPath, ['-r', join(__dirname, 'leash.js'), join(__dirname, '..', file)], {
      env: {
        ...process.env, REDIS_URL: url, NAMESPACE: namespace, PORT: '0', METROPLEX_NAME: name,
        [PART]: JSON.stringify({ redisUrl: url, redisDirectory: directory, namespace } satisfies Part)
      },
      stdio: ['pipe', 'pipe', 'inherit'],
      // Ctrl-C goes to the whole group of the terminal: we tell it ourselves to leave.
      detached: true
    })
    this.pid = child.pid ?? 0
    killAtExit(child)
    this.exit = new Promise(resolve => { child.once('close', resolve) })
    this.#listening = new Promise((resolve, reject) => {
      createInterface(child.stdout).on('line', line => {
        const [, found] = /^listening on (http:\S+)$/.exec(line) ?? []
        if (found === undefined) say(line)
        else resolve(this.url = found)
      })
      child.once('error', reject)
      child.once('close', () => { reject(new Error(`${name} has ended`)) })
    })
    this.#listening.catch(() => undefined)
  }

  /** Resolves with where it listens, once it does. */
  listening(): Promise<string> {
    return deadline(this.#listening, PATIENCE, `the address of ${this.name}`)
  }

  /** No goodbye to anybody. Resolves when it has gone. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL')
    await deadline(this.exit, PATIENCE, `the end of ${this.name}`)
  }

  /** Ask it to leave, as whatever runs programs does. Resolves with its exit code when it has gone. */
  async leave(): Promise<number | null> {
    this.#child.kill('SIGTERM')
    try {
      return await deadline(this.exit, PATIENCE, `the end of ${this.name}`)
    } catch (error) {
      await this.kill()
      throw error
    }
  }
}
