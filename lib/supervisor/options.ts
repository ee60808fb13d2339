import { milliseconds, refuseUnknown, whole } from '../common/validate'
import { inspectValue } from '../common/errors'
import type { Backoff, Flap } from './restart-policy'
import { directoryOf, programOf, workingDirectory } from './paths'
import type { SupervisorOptions, WorkerType } from './types'
import { controlOf } from './control/control-path'
import { memoryOf } from './watch/byte-size'

/** A type of workers, with its options checked and complete. */
export interface TypeTerms {
  readonly type: string
  readonly exec: string
  readonly cwd: string
  /** The working directory of the supervisor; relative paths among its Node.js flags start there. */
  readonly home: string
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly count: number
  /** 0: never. */
  readonly recycle: number
  readonly grace: number
  readonly boot: number
  /** The most bytes; 0: any number. */
  readonly memory: number
  /** 0: never. */
  readonly stall: number
}

/** The options that apply to all types. */
export interface SupervisorTerms {
  readonly backoff: Backoff
  readonly flap: Flap
  readonly signals: boolean
  readonly output: 'inherit' | 'event'
  /** The path of a socket; `true`: one in the directory of the user; `false`: none. */
  readonly control: string | boolean
  /** Absent: no port for metrics. */
  readonly metrics?: MetricsTerms
}

/** Where the metrics of all workers are served. */
export interface MetricsTerms {
  readonly port: number
  readonly host: string
  /** How long a worker may take to answer, in ms. */
  readonly timeout: number
}

const OF_TYPE = ['exec', 'cwd', 'args', 'env', 'count', 'recycle', 'grace', 'boot', 'memory', 'stall'] as const
const OF_ALL = ['backoff', 'flap', 'signals', 'output', 'control', 'metrics'] as const

/** The most workers of one type: a larger number is a typing error. */
const MAX_WORKERS = 1024

/** The shortest time between two recycles, in ms: with a shorter one, workers would only be replaced. */
const MIN_RECYCLE = 1000

/** The least time after which a worker counts as stalled, in ms: garbage collection and loading take their time. */
const MIN_STALL = 1000

/** @throws TypeError or RangeError that names the value and what is allowed */
export function typesOf(given: unknown): TypeTerms[] {
  if (!isObject(given) || Object.keys(given).length === 0) {
    throw new TypeError(
      'metroplex: a supervisor must be given an object with the types of its workers, such as { web: ' +
        `{ exec: './server.js', count: 4 } }; given: ${inspectValue(given)}.`
    )
  }
  return Object.entries(given).map(([type, terms]) => typeOf(type, terms))
}

/** @throws TypeError or RangeError, as `typesOf` */
export function supervisorTerms(given: unknown = {}): SupervisorTerms {
  if (!isObject(given))
    throw new TypeError(
      'metroplex: the options of a supervisor must be an object such as { signals: false }; ' +
        `given: ${inspectValue(given)}.`
    )
  for (const key of Object.keys(given)) refuseUnknown('', key, OF_ALL)
  const { signals = true, output = 'inherit' } = given as SupervisorOptions
  if (typeof signals !== 'boolean')
    throw new TypeError(`metroplex: \`signals\` must be true or false; given: ${inspectValue(signals)}.`)
  if ((output as unknown) !== 'inherit' && (output as unknown) !== 'event')
    throw new TypeError(`metroplex: \`output\` must be 'inherit' or 'event'; given: ${inspectValue(output)}.`)
  const backoff = part(given, 'backoff', ['min', 'max', 'reset'])
  const min = milliseconds('backoff.min', backoff['min'], 100, 1)
  const max = milliseconds('backoff.max', backoff['max'], Math.max(30_000, min), 1)
  if (max < min)
    throw new RangeError(
      `metroplex: \`backoff.max\` must not be less than \`backoff.min\`; given: min ${min}, max ${max}.`
    )
  const flap = part(given, 'flap', ['crashes', 'window'])
  return {
    backoff: { min, max, reset: milliseconds('backoff.reset', backoff['reset'], 60_000, 1) },
    flap: {
      crashes: whole('flap.crashes', flap['crashes'], 5, 1, 'crashes'),
      window: milliseconds('flap.window', flap['window'], 60_000, 1)
    },
    signals,
    output,
    control: controlOf((given as SupervisorOptions).control),
    ...((given as SupervisorOptions).metrics !== undefined && { metrics: metricsTerms(given) })
  }
}

function metricsTerms(given: object): MetricsTerms {
  const { port, host = '127.0.0.1', timeout } = part(given, 'metrics', ['port', 'host', 'timeout'])
  if (typeof host !== 'string' || host === '')
    throw new TypeError(`metroplex: \`metrics.host\` must be a host such as '0.0.0.0'; given: ${inspectValue(host)}.`)
  return {
    port: portOf(port),
    host,
    timeout: milliseconds('metrics.timeout', timeout, 1000, 1)
  }
}

/** @throws TypeError or RangeError for anything but a number of workers */
export function countOf(given: unknown, what = 'count'): number {
  return whole(what, given, 1, 0, 'workers', MAX_WORKERS)
}

/** @throws TypeError or RangeError for anything but a grace period */
export function graceOf(given: unknown, what = 'grace'): number {
  return milliseconds(what, given, 10_000, 0)
}

function portOf(given: unknown): number {
  const allowed = `metroplex: \`metrics.port\` must be a port, from 0 to 65535; given: ${inspectValue(given)}.`
  if (typeof given !== 'number') throw new TypeError(allowed)
  if (!Number.isInteger(given) || given < 0 || given > 65_535) throw new RangeError(allowed)
  return given
}

function typeOf(type: string, given: unknown): TypeTerms {
  if (!/^[A-Za-z][\w.-]*$/.test(type)) {
    throw new TypeError(
      'metroplex: the type of a worker must begin with a letter, and have letters, digits and _ . - ' +
        `only, because it is part of the names of its workers; given: ${inspectValue(type)}.`
    )
  }
  if (!isObject(given))
    throw new TypeError(
      `metroplex: \`${type}\` must be an object such as { exec: './server.js', count: 4 }; ` +
        `given: ${inspectValue(given)}.`
    )
  for (const key of Object.keys(given)) refuseUnknown(`${type}.`, key, OF_TYPE)
  const { exec, cwd, args = [], env = {}, count, recycle, grace, boot, memory, stall } = given as unknown as WorkerType
  if (!Array.isArray(args) || args.some(arg => typeof arg !== 'string')) {
    throw new TypeError(`metroplex: \`${type}.args\` must be an array of strings; given: ${inspectValue(args)}.`)
  }
  if (!isObject(env) || Object.values(env).some(value => typeof value !== 'string')) {
    throw new TypeError(
      `metroplex: \`${type}.env\` must be an object whose values are strings; given: ${inspectValue(env)}.`
    )
  }
  const directory = directoryOf(`${type}.cwd`, cwd)
  return {
    type,
    exec: programOf(`${type}.exec`, exec, directory),
    cwd: directory,
    home: workingDirectory(),
    args,
    env,
    count: countOf(count, `${type}.count`),
    recycle: recycle === undefined ? 0 : milliseconds(`${type}.recycle`, recycle, 0, MIN_RECYCLE),
    grace: graceOf(grace, `${type}.grace`),
    boot: milliseconds(`${type}.boot`, boot, 30_000, 1),
    memory: memory === undefined ? 0 : memoryOf(`${type}.memory`, memory),
    stall: stall === false ? 0 : milliseconds(`${type}.stall`, stall, 30_000, MIN_STALL)
  }
}

function part(given: object, key: string, known: readonly string[]): Partial<Record<string, unknown>> {
  const found = (given as Partial<Record<string, unknown>>)[key] ?? {}
  if (!isObject(found)) throw new TypeError(`metroplex: \`${key}\` must be an object; given: ${inspectValue(found)}.`)
  for (const name of Object.keys(found)) refuseUnknown(`${key}.`, name, known)
  return found
}

function isObject(given: unknown): given is object {
  return typeof given === 'object' && given !== null && !Array.isArray(given)
}
