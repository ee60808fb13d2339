import { inspectValue } from '../common/errors'
import { refuseUnknown } from '../common/validate'
import { Core } from '../core/core'
import { mergeFamilies, type Family, type Labels } from '../common/exposition/family'
import { formatFamilies, MEDIA_TYPES, negotiate } from '../common/exposition/format'
import { answering, type HttpHandler } from '../common/exposition/handler'
import { labelsOf } from '../common/exposition/own-labels'
import { processFamilies } from '../common/exposition/process'
import type { Statistics } from '../reporting/types'
import { ownFamilies } from './own-families'

/** What has metrics: a server, `primus.metroplex`, or a client of `createClient`. */
export interface MeasuredProcess {
  stats(): Statistics
}

/** Options of `metricsHandler`. */
export interface MetricsHandlerOptions {
  /** Labels that each sample gets, such as `{ cluster: 'chat' }`. @default none */
  readonly labels?: Readonly<Record<string, string>>
}

/** Options of `metrics`. */
export interface MetricsOptions extends MetricsHandlerOptions {
  /** Whether to write OpenMetrics 1.0.0 instead of the text format 0.0.4 of Prometheus. @default false */
  readonly openMetrics?: boolean
}

/** A server or client with its parts. */
interface Measured {
  readonly core: Core
  readonly stats: () => Statistics
}

/**
 * The metrics of a server or client, in the text format of Prometheus. They are read from memory: the promise resolves
 * at once, in each state of the server, and asks neither Redis nor peers.
 *
 * @throws TypeError for what is no server or client, or for wrong options
 *
 * @example
 * const text = await metrics(primus.metroplex, { labels: { cluster: 'chat' } })
 */
export async function metrics(source: MeasuredProcess, options: MetricsOptions = {}): Promise<string> {
  const measured = measuredOf(source)
  const { openMetrics = false } = checked(options, ['labels', 'openMetrics']) as MetricsOptions
  if (typeof openMetrics !== 'boolean')
    throw new TypeError(`metroplex: \`openMetrics\` must be true or false; given: ${inspectValue(openMetrics)}.`)
  const labels = labelsOf(options.labels)
  // Also a mistake of ours becomes a rejection.
  return Promise.resolve(formatFamilies(familiesOf(measured, labels), openMetrics ? 'openmetrics' : 'text'))
}

/**
 * Answers scrapes of Prometheus with the metrics of a server or client: a request handler for node:http, Express and
 * Fastify. It writes OpenMetrics for scrapers that prefer it, else the text format 0.0.4. It answers each path.
 *
 * @throws TypeError for what is no server or client, or for wrong options
 *
 * @example
 * http.createServer(metricsHandler(primus.metroplex)).listen(9100, '127.0.0.1')
 */
export function metricsHandler(source: MeasuredProcess, options: MetricsHandlerOptions = {}): HttpHandler {
  const measured = measuredOf(source)
  const { labels: given } = checked(options, ['labels']) as MetricsHandlerOptions
  const labels = labelsOf(given)
  return answering(({ headers }) => {
    const format = negotiate(headers.accept)
    return { status: 200, type: MEDIA_TYPES[format], body: formatFamilies(familiesOf(measured, labels), format) }
  })
}

function familiesOf({ core, stats }: Measured, labels: Labels): Family[] {
  return mergeFamilies([{ families: [...ownFamilies(core, stats()), ...processFamilies()], labels }])
}

function measuredOf(given: unknown): Measured {
  const core = coreOf(given)
  if (core !== undefined) return { core, stats: () => (given as MeasuredProcess).stats() }
  throw new TypeError(
    'metroplex: metrics are those of a server, `primus.metroplex`, or of a client of `createClient`; ' +
      `given: ${inspectValue(given)}.`
  )
}

/** The parts of a server or client; `undefined` for anything else. */
export function coreOf(given: unknown): Core | undefined {
  const core: unknown = typeof given === 'object' && given !== null ? Reflect.get(given, 'core') : undefined
  return core instanceof Core ? core : undefined
}

function checked(options: unknown, known: readonly string[]): object {
  if (typeof options !== 'object' || options === null || Array.isArray(options))
    throw new TypeError(
      "metroplex: the options of metrics must be an object such as { labels: { cluster: 'chat' } }; " +
        `given: ${inspectValue(options)}.`
    )
  for (const key of Object.keys(options)) refuseUnknown('', key, known)
  return options
}
