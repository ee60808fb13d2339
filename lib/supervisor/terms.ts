import { statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { milliseconds, refuseUnknown, whole } from '../checks'
import { shown } from '../errors'
import type { Backoff, Flap } from './pace'
import type { SupervisorOptions, WorkerType } from './types'

/** A type of workers, checked and complete. */
export interface TypeTerms {
  readonly type: string
  readonly exec: string
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly count: number
  /** 0: never. */
  readonly recycle: number
  readonly grace: number
  readonly boot: number
}

/** How all of them are treated. */
export interface Terms {
  readonly backoff: Backoff
  readonly flap: Flap
  readonly signals: boolean
  readonly output: 'inherit' | 'event'
}

const OF_TYPE = ['exec', 'args', 'env', 'count', 'recycle', 'grace', 'boot'] as const
const OF_ALL = ['backoff', 'flap', 'signals', 'output'] as const

/** More processes than that on one machine are a slip of the pen. */
const MOST = 1024

/** A recycling that begins anew before the last one has ended would never let a worker work. */
const SHORTEST_RECYCLE = 1000

/** @throws TypeError or RangeError, in one sentence, with what was given and what is allowed */
export function typesOf(given: unknown): TypeTerms[] {
  if (!isObject(given) || Object.keys(given).length === 0) {
    throw new TypeError(`metroplex: a supervisor must be given an object with the types of its workers, such as { web: { exec: './server.js', count: 4 } }; given: ${shown(given)}.`)
  }
  return Object.entries(given).map(([type, terms]) => typeOf(type, terms))
}

/** @throws TypeError or RangeError, as `typesOf` */
export function termsOf(given: unknown = {}): Terms {
  if (!isObject(given)) throw new TypeError(`metroplex: the options of a supervisor must be an object such as { signals: false }; given: ${shown(given)}.`)
  for (const key of Object.keys(given)) refuseUnknown('', key, OF_ALL)
  const { signals = true, output = 'inherit' } = given as SupervisorOptions
  if (typeof signals !== 'boolean') throw new TypeError(`metroplex: \`signals\` must be true or false; given: ${shown(signals)}.`)
  if (output as unknown !== 'inherit' && output as unknown !== 'event') throw new TypeError(`metroplex: \`output\` must be 'inherit' or 'event'; given: ${shown(output)}.`)
  const backoff = part(given, 'backoff', ['min', 'max', 'reset'])
  const min = milliseconds('backoff.min', backoff['min'], 100, 1)
  const max = milliseconds('backoff.max', backoff['max'], Math.max(30_000, min), 1)
  if (max < min) throw new RangeError(`metroplex: \`backoff.max\` must not be less than \`backoff.min\`; given: min ${min}, max ${max}.`)
  const flap = part(given, 'flap', ['crashes', 'window'])
  return {
    backoff: { min, max, reset: milliseconds('backoff.reset', backoff['reset'], 60_000, 1) },
    flap: { crashes: whole('flap.crashes', flap['crashes'], 5, 1, 'crashes'), window: milliseconds('flap.window', flap['window'], 60_000, 1) },
    signals,
    output
  }
}

/** @throws TypeError or RangeError for what is no number of workers */
export function countOf(given: unknown, what = 'count'): number {
  return whole(what, given, 1, 0, 'workers', MOST)
}

/** @throws TypeError or RangeError for what is no grace */
export function graceOf(given: unknown, what = 'grace'): number {
  return milliseconds(what, given, 10_000, 0)
}

function typeOf(type: string, given: unknown): TypeTerms {
  if (!/^[A-Za-z][\w.-]*$/.test(type)) {
    throw new TypeError(`metroplex: the type of a worker must begin with a letter, and have letters, digits and _ . - only, because it is part of the names of its workers; given: ${shown(type)}.`)
  }
  if (!isObject(given)) throw new TypeError(`metroplex: \`${type}\` must be an object such as { exec: './server.js', count: 4 }; given: ${shown(given)}.`)
  for (const key of Object.keys(given)) refuseUnknown(`${type}.`, key, OF_TYPE)
  const { exec, args = [], env = {}, count, recycle, grace, boot } = given as unknown as WorkerType
  if (!Array.isArray(args) || args.some(arg => typeof arg !== 'string')) {
    throw new TypeError(`metroplex: \`${type}.args\` must be an array of strings; given: ${shown(args)}.`)
  }
  if (!isObject(env) || Object.values(env).some(value => typeof value !== 'string')) {
    throw new TypeError(`metroplex: \`${type}.env\` must be an object whose values are strings; given: ${shown(env)}.`)
  }
  return {
    type,
    exec: programOf(`${type}.exec`, exec),
    args, env,
    count: countOf(count, `${type}.count`),
    recycle: recycle === undefined ? 0 : milliseconds(`${type}.recycle`, recycle, 0, SHORTEST_RECYCLE),
    grace: graceOf(grace, `${type}.grace`),
    boot: milliseconds(`${type}.boot`, boot, 30_000, 1)
  }
}

/**
 * The file of a program, found as `node` finds what it is to run.
 *
 * @throws TypeError when there is none
 */
export function programOf(what: string, given: unknown): string {
  const allowed = `metroplex: \`${what}\` must be the path of a program for Node.js`
  const url = given instanceof URL || (typeof given === 'string' && given.startsWith('file:'))
  if (!url && (typeof given !== 'string' || given === '')) throw new TypeError(`${allowed}; given: ${shown(given)}.`)
  const path = url ? fileURLToPath(given) : resolve(given)
  try {
    createRequire(path).resolve(path)
    // Links are followed anew for each worker: behind `current/server.js` there may be another release by then.
    return path
  } catch {
    if (statSync(path, { throwIfNoEntry: false })?.isFile() === true) return path
    throw new TypeError(`${allowed}; there is none at ${path}.`)
  }
}

function part(given: object, key: string, known: readonly string[]): Partial<Record<string, unknown>> {
  const found = (given as Partial<Record<string, unknown>>)[key] ?? {}
  if (!isObject(found)) throw new TypeError(`metroplex: \`${key}\` must be an object; given: ${shown(found)}.`)
  for (const name of Object.keys(found)) refuseUnknown(`${key}.`, name, known)
  return found
}

function isObject(given: unknown): given is object {
  return typeof given === 'object' && given !== null && !Array.isArray(given)
}
