import { forwardApi } from '../delivery/forward-api'
import { inspectValue } from '../common/errors'
import { Message } from '../common/encoded-message'
import { omegaReceiver } from '../transport/omega/receiver'
import { OmegaSender, type OmegaBounds, type OmegaWire } from '../transport/omega/sender'
import type { Metroplex } from '../api/metroplex'
import type { Primus, PrimusOptions } from '../common/types'

/** The layer of omega-supreme, which shows that it is loaded. */
const OMEGA = 'omega-supreme'

/** omega-supreme's default password, which is public. */
const PUBLISHED = 'supreme'
let warned = false

/**
 * Adds `primus.forward`. Where omega-supreme is loaded, before us or after, our function and our layer replace its own.
 */
export function attachForward(primus: Primus, metroplex: Metroplex, options: PrimusOptions): void {
  const {
    settings: { timeout, maxBody, tls },
    gateway,
    local,
    forwarder,
    groupForwarder,
    requester
  } = metroplex.core
  const forward = forwardApi(forwarder, groupForwarder, requester, primus)

  let adopted = false
  const sender = omegaSender(options, { timeout, maxBody, tls })
  // It may be set later, in the options that were passed to Primus or in those that Primus uses now.
  const middleware = (): PrimusOptions['middleware'] => primus.options.middleware ?? options.middleware
  if (sender !== undefined) gateway.useOmega({ sender, always: () => adopted && middleware() !== undefined })
  /** @returns whether omega-supreme has been loaded since the last call */
  const adoptOmega = (): boolean => {
    if (adopted || primus.indexOfLayer(OMEGA) === -1) return false
    const wire = wireOf(options)
    adopted = true
    warnOfPublished(wire)
    const receive = omegaReceiver(wire, middleware, { timeout, maxBody }, ({ msg, sparks, except }) => {
      const message = Message.of(msg, false)
      return sparks === undefined ? local.all(message, new Set(except)) : local.some(sparks, message)
    })
    primus.use(OMEGA, receive, {}, primus.indexOfLayer(OMEGA))
    gateway.serve(receive)
    return true
  }
  adoptOmega()
  let current: unknown = forward
  // The assignment of omega-supreme is ignored; one of the application is kept.
  const assign = (assigned: unknown): void => {
    if (!adoptOmega()) current = assigned
  }
  Object.defineProperty(primus, 'forward', { get: () => current, set: assign, enumerable: true, configurable: true })
}

/**
 * The sender to servers of 1.x. `undefined` when the options with names of omega-supreme's are not valid for it:
 * without omega-supreme they may have another meaning.
 */
function omegaSender(options: PrimusOptions, bounds: OmegaBounds): OmegaSender | undefined {
  try {
    return new OmegaSender(wireOf(options), bounds)
  } catch {
    return undefined
  }
}

/** The options of omega-supreme, with its defaults. */
function wireOf(options: PrimusOptions): OmegaWire {
  return {
    url: options.url ?? '/primus/omega/supreme',
    method: (options.method ?? 'PUT').toUpperCase(),
    username: credential(options, 'username', 'omega'),
    password: credential(options, 'password', PUBLISHED)
  }
}

/** Warns once of the public password. */
function warnOfPublished({ password }: OmegaWire): void {
  if (password !== PUBLISHED || warned) return
  warned = true
  process.emitWarning(
    'omega-supreme runs with the password that is published in its documentation: ' +
      'every process that reaches the port can write to all clients. Set the option `password`.',
    { code: 'METROPLEX_PUBLISHED_PASSWORD' }
  )
}

/**
 * @throws TypeError for an empty or invalid value: an environment variable that is not set must not lead to the public
 * password
 */
function credential(options: PrimusOptions, name: 'username' | 'password', standard: string): string {
  const given: unknown = name in options ? options[name] : standard
  if (typeof given === 'string' && given !== '') return given
  throw new TypeError(
    `metroplex: omega-supreme's \`${name}\` must be a string that is not empty; ` +
      `given: ${inspectValue(given)}. Leave it out for the default.`
  )
}
