import { Backbone } from '../core/backbone'
import { Core } from '../core/core'
import { DescriptionMethods } from './description-methods'
import { ignore, callbackify, type Callback } from '../common/callback'
import { FailureReports } from '../reporting/failure-reports'
import { forwardApi, type Forward } from '../delivery/forward-api'
import { asError, inspectValue } from '../common/errors'
import { Heartbeat } from '../membership/heartbeat'
import { settings } from '../common/options'
import { Parser } from '../common/parser'
import type { ClientOptions } from '../common/types'

const KNOWN = ['redis', 'namespace', 'parser', 'metroplex']
/** Options of `metroplex` that only a server can use. */
const SERVER_ONLY = ['listen', 'user', 'groups', 'info', 'balance', 'maxBuffered', 'omega']

/**
 * A process that uses a cluster without being one of its servers, such as a job worker or a script. It has no Primus,
 * does not listen and is not registered.
 *
 * It can look up sparks, users and groups, send them messages, call methods and publish events. Answers arrive on the
 * connections that it opens. It reads the list of servers three times per `lease`.
 */
export class Client extends DescriptionMethods {
  /** Sends messages to sparks, as `primus.forward` of a server does. */
  readonly forward: Forward
  readonly #heartbeat: Heartbeat

  /** @internal */
  constructor(options: ClientOptions = {}) {
    // A client does not listen, in a worker of node:cluster neither.
    const set = { ...settings(checked(options)), listen: undefined }
    super(set, emit => new Core(new Backbone(set, Parser.load(options.parser)), emit))
    const { core } = this
    // Work that `close` has ended is not a failure.
    const failures = new FailureReports(error => {
      if (!core.closing) this.tell('error', error)
    })
    this.forward = forwardApi(core.forwarder, core.groupForwarder, core.requester, this)
    const period = Math.floor(set.lease / 3)
    this.#heartbeat = new Heartbeat(
      async () => {
        await core.shards.agree()
        await core.shards.catchUp()
        failures.worked('client', 'look')
        failures.well('client')
      },
      { period, retry: period / 4 },
      {
        failed: error => {
          failures.failed('client', 'look', error)
        }
      }
    )
    core
      .start()
      .then(async () => {
        if (core.closing) return
        this.#heartbeat.start()
        // The first beat comes at a random moment, but the secret is needed at once.
        await this.#heartbeat.now()
      })
      .catch((error: unknown) => {
        failures.failed('client', 'start', asError(error))
      })
  }

  /** Close all connections, so that the process can end. Open operations fail with `ECLOSED`. Idempotent. */
  close(): Promise<void>
  close(fn: Callback<void>): this
  close(fn?: Callback<void>): Promise<void> | this {
    return callbackify(this.#close(), fn, this)
  }

  async #close(): Promise<void> {
    const stopped = this.#heartbeat.stop().catch(ignore)
    await this.core.close()
    await stopped
  }
}

/**
 * Use a cluster from a process that is none of its servers.
 *
 * `redis`, `namespace`, and of `metroplex` the `secret`, `transport` and `shards` must be those of the servers. This
 * process must reach the servers at their addresses, as they reach each other. `close` lets the process end.
 *
 * @throws TypeError or RangeError for wrong options
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
  if (typeof options !== 'object' || options === null)
    throw new TypeError(
      'metroplex: the options of a client must be an object such as { redis, namespace }; ' +
        `given: ${inspectValue(options)}.`
    )
  const unknown = Object.keys(options).find(key => !KNOWN.includes(key))
  if (unknown !== undefined)
    throw new TypeError(`metroplex: a client has no option \`${unknown}\`. Known are: ${KNOWN.join(', ')}.`)
  const { metroplex } = options as { metroplex?: unknown }
  const useless =
    typeof metroplex === 'object' && metroplex !== null ? SERVER_ONLY.find(key => key in metroplex) : undefined
  if (useless !== undefined)
    throw new TypeError(
      `metroplex: \`metroplex.${useless}\` is for servers: a client has no sparks, and receives no requests.`
    )
  return options
}
