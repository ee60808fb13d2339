import { Asking } from './asking'
import { ignore, settle, type Callback } from './callback'
import { surface, type Forward } from './delivery/surface'
import { shown } from './errors'
import { Heartbeat } from './membership/heartbeat'
import { settings } from './options'
import type { ClientOptions } from './types'

const KNOWN = ['redis', 'namespace', 'parser', 'metroplex']
/** What only a server can do anything with. */
const OF_SERVERS = ['listen', 'user', 'maxBuffered', 'omega']

/**
 * A process that uses a cluster without being one of its servers, such as a job worker or a script: it has no Primus, listens nowhere and is not registered.
 *
 * It can ask and send all that a server can: where sparks and users are, messages to them, calls, events. What it is answered comes back on the connections that it
 * opens. It looks who has joined or left three times in the time of a `lease`.
 */
export class Client extends Asking {
  /** Sends messages to sparks, as `primus.forward` of a server does. */
  readonly forward: Forward
  readonly #looking: Heartbeat

  /** @internal */
  constructor(options: ClientOptions = {}) {
    // Nobody comes to us, in a worker of node:cluster neither.
    const set = { ...settings(checked(options)), listen: undefined }
    super(set, undefined, options.parser)
    const { core } = this
    this.forward = surface(core.forwarder, core.requests, this)
    const period = Math.floor(set.lease / 3)
    this.#looking = new Heartbeat(async () => {
      await core.shards.agree()
      await core.shards.catchUp()
    }, { period, retry: period / 4 }, { failed: error => { this.#failed(error) } })
    core.start().then(async () => {
      if (core.closing) return
      this.#looking.start()
      // The first beat comes at a random moment; the secret is needed at once.
      await this.#looking.now()
    }).catch((error: unknown) => { this.#failed(error as Error) })
  }

  /** Let go of everything, so that the process can end. What is under way fails with `ECLOSED`. Harmless when called twice. */
  close(): Promise<void>
  close(fn: Callback<void>): this
  close(fn?: Callback<void>): Promise<void> | this {
    return settle(this.#close(), fn, this)
  }

  /** What `close` has ended has not failed. */
  #failed(error: Error): void {
    if (!this.core.closing) this.tell('error', error)
  }

  async #close(): Promise<void> {
    const stopped = this.#looking.stop().catch(ignore)
    await this.core.close()
    await stopped
  }
}

/**
 * Use a cluster from a process that is none of its servers.
 *
 * `redis`, `namespace`, and of `metroplex` the `secret`, `transport` and `shards` must be those of the servers. The servers must be reachable from here, as they are for
 * each other. `close` lets the process end.
 *
 * @throws TypeError or RangeError for wrong options, in one sentence
 *
 * @example
 * const cluster = createClient({ redis: new Redis() })
 * await cluster.forward.user('alice', { invoice: 42 })
 * await cluster.close()
 */
export function createClient(options?: ClientOptions): Client {
  return new Client(options)
}

function checked(options: unknown): ClientOptions {
  if (typeof options !== 'object' || options === null) throw new TypeError(`metroplex: the options of a client must be an object such as { redis, namespace }; given: ${shown(options)}.`)
  const stranger = Object.keys(options).find(key => !KNOWN.includes(key))
  if (stranger !== undefined) throw new TypeError(`metroplex: a client has no option \`${stranger}\`. Known are: ${KNOWN.join(', ')}.`)
  const { metroplex } = options as { metroplex?: unknown }
  const useless = typeof metroplex === 'object' && metroplex !== null ? OF_SERVERS.find(key => key in metroplex) : undefined
  if (useless !== undefined) throw new TypeError(`metroplex: \`metroplex.${useless}\` is for servers: a client has no sparks, and nobody asks it anything.`)
  return options
}
