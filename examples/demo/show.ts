import { randomBytes } from 'node:crypto'
import { eventually } from '../../test/support/wait'
import { App } from './app'
import { flags } from './flags'
import { Output } from './output'
import { openRegistry, type Registry } from './redis'
import { signal, SIGNALS } from './signals'
import { Connection } from './connection'

/** How long a step may take, in ms. */
const PATIENCE = 20_000

/** What an example shows: it starts programs and connects to them. */
export type Story = (show: Show) => Promise<readonly string[]>

/** All processes and connections of an example, which end with it. */
export class Show {
  readonly output = new Output()
  readonly #namespace = `metroplex-example-${randomBytes(6).toString('hex')}`
  readonly #apps: App[] = []
  readonly #visitors: Connection[] = []
  #registry: Registry | undefined

  /** Finds a Redis; then programs can be started. */
  async open(): Promise<void> {
    const registry = (this.#registry = await openRegistry(this.#namespace, line => {
      this.output.tell('Redis', line)
    }))
    this.output.tell('Redis', registry.description)
  }

  /** Starts a program of the example. */
  start(name: string, file: string): App {
    if (this.#registry === undefined) throw new Error('there is no Redis')
    const app = new App(name, file, { ...this.#registry, namespace: this.#namespace }, line => {
      this.output.tell(name, line)
    })
    this.#apps.push(app)
    return app
  }

  /** Starts three servers. Resolves when they listen. */
  async servers(file: string): Promise<[App, App, App]> {
    const servers: [App, App, App] = [
      this.start('server 1', file),
      this.start('server 2', file),
      this.start('server 3', file)
    ]
    for (const server of servers)
      this.output.tell(server.name, `listens on ${await server.listening()}  (pid ${server.pid})`)
    return servers
  }

  /** Connects to a server. Resolves when it is connected. */
  async visit({ url }: App, query = ''): Promise<Connection> {
    const visitor = new Connection(`${url}${query}`)
    this.#visitors.push(visitor)
    return visitor.open()
  }

  /** Waits until a condition holds, and prints it. */
  async proof(what: string, check: () => boolean | Promise<boolean>): Promise<void> {
    await eventually(check, { within: PATIENCE, every: 50, what: `"${what}"` })
    this.output.proof(what)
  }

  /** Ends all processes and connections. */
  async close(): Promise<void> {
    for (const visitor of this.#visitors) visitor.close()
    await Promise.allSettled(this.#apps.map(app => app.leave()))
    await this.#registry?.close()
  }
}

/** Runs an example and exits. Without `--once` it keeps running until Ctrl-C. */
export function show(name: string, story: Story): void {
  perform(name, story).then(
    // Steps that are still waiting are of no interest any more.
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
    process.stdout.write(
      `Usage: node dist/examples/${name}.js [--once]\n` +
        'With --once it tells its story and exits. Without it, all of it runs until Ctrl-C. ' +
        'REDIS_URL: a Redis to use.\n'
    )
    return unknown === undefined ? 0 : 2
  }
  const run = new Show()
  const { output } = run
  const interrupted = signal()
  try {
    const told = run.open().then(() => story(run))
    // The interrupted step fails, which is no error.
    told.catch(() => undefined)
    const hints = await Promise.race([told, interrupted])
    if (typeof hints === 'string') return once ? SIGNALS[hints] : 0
    if (once) return 0
    output.scene('Your turn')
    for (const hint of hints) output.tell('try', hint)
    output.tell('try', 'Ctrl-C to end it all')
    await interrupted
    return 0
  } catch (error) {
    output.alarm((error as Error).message)
    return 1
  } finally {
    await run.close()
    output.tell('the end', 'nothing is left behind')
  }
}
