import { spawn, type ChildProcess } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { killAtExit } from '../../test/support/orphans'
import { deadline } from '../../test/support/wait'
import { CLEANUP_TERMS, type CleanupTerms } from './cleanup-terms'
import type { Registry } from './redis'

/** How long a program may take to listen, or to end when it is told to, in ms. */
const PATIENCE = 15_000

/** A program of an example, in a process of its own. It is configured by its environment and prints what happens. */
export class App {
  readonly pid: number
  /** Its exit code; `null` when a signal ended it. */
  readonly exit: Promise<number | null>
  /** Where it listens; `''` before that. */
  url = ''
  readonly #child: ChildProcess
  readonly #listening: Promise<string>

  /** @param say called with each line that the program prints */
  constructor(
    readonly name: string,
    file: string,
    { url, directory, namespace }: Registry & { readonly namespace: string },
    say: (line: string) => void
  ) {
    const child = (this.#child = spawn(
      process.execPath,
      ['-r', join(__dirname, 'parent-watch.js'), join(__dirname, '..', file)],
      {
        env: {
          ...process.env,
          REDIS_URL: url,
          NAMESPACE: namespace,
          PORT: '0',
          METROPLEX_NAME: name,
          [CLEANUP_TERMS]: JSON.stringify({
            redisUrl: url,
            redisDirectory: directory,
            namespace
          } satisfies CleanupTerms)
        },
        stdio: ['pipe', 'pipe', 'inherit'],
        // Ctrl-C reaches all processes of the terminal's group. We end the program ourselves.
        detached: true
      }
    ))
    this.pid = child.pid ?? 0
    killAtExit(child)
    this.exit = new Promise(resolve => {
      child.once('close', resolve)
    })
    this.#listening = new Promise((resolve, reject) => {
      createInterface(child.stdout).on('line', line => {
        const [, found] = /^listening on (http:\S+)$/.exec(line) ?? []
        if (found === undefined) say(line)
        else resolve((this.url = found))
      })
      child.once('error', reject)
      child.once('close', () => {
        reject(new Error(`${name} has ended`))
      })
    })
    this.#listening.catch(() => undefined)
  }

  /** Resolves with its URL, once it listens. */
  listening(): Promise<string> {
    return deadline(this.#listening, PATIENCE, `the address of ${this.name}`)
  }

  /** Kills it without a shutdown. Resolves when it has ended. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL')
    await deadline(this.exit, PATIENCE, `the end of ${this.name}`)
  }

  /** Ends it with SIGTERM, as a process manager does. Resolves with its exit code. */
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
