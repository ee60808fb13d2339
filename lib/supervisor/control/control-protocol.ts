import { inspectValue } from '../../common/errors'
import type { WorkerInfo } from '../types'

/** The version of the protocol: each request and each answer is a line of JSON that begins with it. */
export const CONTROL_VERSION = 1

/** The most characters of a request, and of an answer: 1024 workers take less. */
export const [LONGEST_REQUEST, LONGEST_ANSWER] = [4096, 4 * 2 ** 20]

/** What a supervisor can be asked. With `wait: false` it answers as soon as it has begun. */
export type ControlRequest =
  | { readonly do: 'workers' }
  | { readonly do: 'scale'; readonly type: string; readonly count: number; readonly wait: boolean }
  | { readonly do: 'recycle'; readonly type?: string; readonly wait: boolean }
  | { readonly do: 'replace'; readonly worker: string; readonly wait: boolean }

/** What a supervisor says of itself and its workers. */
export interface SupervisorStatus {
  readonly pid: number
  /** The time of the answer, in ms of Unix time. */
  readonly at: number
  /** How many workers of each type are wanted. */
  readonly wanted: Readonly<Record<string, number>>
  readonly workers: readonly WorkerInfo[]
}

/** Why a supervisor gave no answer, or refused. */
export class ControlError extends Error {
  /** @param kind `absent`: no process listens there; `unheard`: it cannot be asked; `refused`: it answered no */
  constructor(
    readonly kind: 'absent' | 'unheard' | 'refused',
    sentence: string,
    cause?: unknown
  ) {
    super(sentence, { cause })
    this.name = 'ControlError'
  }
}

/** A request as a line. */
export function encodeRequest(request: ControlRequest): string {
  return `${JSON.stringify({ metroplex: CONTROL_VERSION, ...request })}\n`
}

/** A result, or a failure in a sentence, as a line. */
export function encodeAnswer(outcome: { readonly value: unknown } | { readonly error: string }): string {
  const { value = null, error } = outcome as { value?: unknown; error?: string }
  const answer = error === undefined ? { ok: true, value } : { ok: false, error }
  return `${JSON.stringify({ metroplex: CONTROL_VERSION, ...answer })}\n`
}

/** @throws TypeError that says what is wrong with the line */
export function readRequest(line: string): ControlRequest {
  const given = readObject(line, 'A request')
  const { do: what, type, count, worker, wait = true } = given
  const text = (name: string, value: unknown): string => {
    if (typeof value === 'string') return value
    throw new TypeError(`\`${name}\` of a request must be a string; given: ${inspectValue(value)}.`)
  }
  if (typeof wait !== 'boolean')
    throw new TypeError(`\`wait\` of a request must be true or false; given: ${inspectValue(wait)}.`)
  if (what === 'workers') return { do: what }
  if (what === 'recycle') return { do: what, wait, ...(type !== undefined && { type: text('type', type) }) }
  if (what === 'replace') return { do: what, wait, worker: text('worker', worker) }
  if (what === 'scale') return { do: what, wait, type: text('type', type), count: count as number }
  throw new TypeError(
    `\`do\` of a request must be 'workers', 'scale', 'recycle' or 'replace'; given: ${inspectValue(what)}.`
  )
}

/** The value of an answer. @throws ControlError `refused`, with the sentence of the supervisor; TypeError */
export function readAnswer(line: string): unknown {
  const { ok, value, error } = readObject(line, 'An answer')
  if (ok === true) return value
  throw new ControlError('refused', typeof error === 'string' ? error : 'The supervisor refused without a reason.')
}

function readObject(line: string, what: string): Partial<Record<string, unknown>> {
  let given: unknown
  try {
    given = JSON.parse(line)
  } catch (error) {
    throw new TypeError(`${what} must be a line of JSON; given: ${inspectValue(line)}.`, { cause: error })
  }
  const { metroplex } = (given ?? {}) as { metroplex?: unknown }
  if (metroplex !== CONTROL_VERSION)
    throw new TypeError(
      `${what} must be an object with "metroplex": ${CONTROL_VERSION}, the version that is spoken here; ` +
        `given: ${inspectValue(metroplex)}.`
    )
  return given as Partial<Record<string, unknown>>
}
