import { randomBytes } from 'node:crypto'
import { eventually } from '../../test/support/wait'
import { App } from './app'
import { flags } from './flags'
import { Narrator } from './narrator'
import { openRegistry, type Registry } from './registry'
import { signal, SIGNALS } from './signals'
import { Visitor } from './visitor'

/** How long what is hoped for may take, in ms. */
const PATIENCE = 20_000

/**
 * What an example shows, by running its programs and connecting to them.
 *
 * @returns what may be tried by hand, a line each
 */
export type Story = (show: Show) => Promise<readonly string[]>

/** All that a run of an example has started, and so has to end. */
export class Show {
  readonly narrator = new Narrator()
  readonly #namespace = `metroplex-example-${randomBytes(6).toString('hex')}`
  readonly #apps: App[] = []
  readonly #visitors: Visitor[] = []
  #registry: Registry | undefined

  /** Find a Redis; programs may be started then. */
  async open(): Promise<void> {
    const registry = this.#registry = await openRegistry(this.#namespace, line => { this.narrator.tell('Redis', line) })
    this.narrator.tell('Redis', registry.description)
  }

  /** Start a program of an example. */
  start(name: string, file: string): App {
    if (this.#registry === undefined) throw new Error('there is no Redis')
    const app = new App(name, file, { ...this.#registry, namespace: this.#namespace }, line => { this.narrator.tell(name, line) })
    this.#apps.push(app)
    return app
  }

  /** Start three servers. Resolves when they listen. */
  async servers(file: string): Promise<[App, App, App]> {
    const servers: [App, App, App] = [this.start('server 1', file), this.start('server 2', file), this.start('server 3', file)]
    for (const server of servers) this.narrator.tell(server.name, `listens on ${await server.listening()}  (pid ${server.pid})`)
    return servers
  }

  /** Connect to a server. Resolves when that is done. */
  async visit({ url }: App, query = ''): Promise<Visitor> {
    const visitor = new Visitor(`${url}${query}`)
    this.#visitors.push(visitor)
    return visitor.open()
  }

  /** Wait until something has come true, and say so. */
  async proof(what: string, check: () => boolean | Promise<boolean>): Promise<void> {
    await eventually(check, { within: PATIENCE, every: 50, what: `"${what}"` })
    this.narrator.proof(what)
  }

  /** End all that was started. */
  async close(): Promise<void> {
    for (const visitor of this.#visitors) visitor.close()
    await Promise.allSettled(this.#apps.map(app => app.leave()))
    await this.#registry?.close()
  }
}

/** Run an example: tell its story and, unless there is `--once`, leave all of it running until somebody ends it. Ends the process. */
export function show(name: string, story: Story): void {
  perform(name, story).then(
    // What is still waited for has no meaning any more.
    code => process.exit(code),
    (error: unknown) => {
      process.stderr.write(`${(error as Error).message}\n`)
      process.exit(1)
    }
  )
}

async function perform(name: string, story: Story): Promise<number> {
  const { once, help, unknown } = flags(process.argv.slice(2))
  if (help || unknown !== undefined) {
    process.stdout.write(`Usage: node dist/examples/${name}.js [--once]\nWith --once it tells its story and ends; without, all of it goes on until Ctrl-C. REDIS_URL: a Redis to use.\n`)
    return unknown === undefined ? 0 : 2
  }
  const stage = new Show()
  const { narrator } = stage
  const interrupted = signal()
  try {
    const told = stage.open().then(() => story(stage))
    // What it was about to do when it was interrupted fails, and need not be told.
    told.catch(() => undefined)
    const hints = await Promise.race([told, interrupted])
    if (typeof hints === 'string') return once ? SIGNALS[hints] : 0
    if (once) return 0
    narrator.scene('Your turn')
    for (const hint of hints) narrator.tell('try', hint)
    narrator.tell('try', 'Ctrl-C to end it all')
    await interrupted
    return 0
  } catch (error) {
    narrator.alarm((error as Error).message)
    return 1
  } finally {
    await stage.close()
    narrator.tell('the end', 'nothing is left behind')
  }
}
