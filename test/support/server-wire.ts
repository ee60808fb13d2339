import type { DestroyOptions } from './primus-types'
import type { RedisTarget } from './redis-target'

/** What the child needs to become a server; everything here survives structured cloning. */
export interface ServerSettings {
  redis: RedisTarget & { namespace?: string }
  primus: Record<string, unknown>
  omega: 'before' | 'after' | false
  metroplex: string
  ioredis: 5 | 6
  port: number
  host: string
  /** Milliseconds. */
  clockShift: number
  /** Events that are not reported. */
  mute: string[]
  /** The source of a function that is given Primus's options. */
  prepare: string | undefined
  /** Whether requests that are not Primus's are answered, with the process id. */
  page: boolean
  /** Options of the HTTPS server; `undefined` for an HTTP server. */
  secure: Record<string, unknown> | undefined
}

/**
 * In the environment of a child that is to start by itself, because a supervisor has started it: its settings, as JSON.
 */
export const SETTINGS = 'METROPLEX_TEST_SERVER'

/** What the parent asks; each is answered once, under the same id, but for `leave`: that is answered by leaving. */
export type Order =
  | { id: number; verb: 'start'; settings: ServerSettings }
  | { id: number; verb: 'call'; path: string; args: unknown[]; style: 'promise' | 'callback' }
  | { id: number; verb: 'run'; source: string; args: unknown[] }
  | { id: number; verb: 'sparks' }
  | { id: number; verb: 'destroy'; options: DestroyOptions | undefined }
  | { verb: 'leave'; reusable: boolean }

/** What the child reports; `idle` once it left, nothing keeps it alive, and it may be started again. */
export type Report =
  | { kind: 'idle' }
  | { kind: 'value'; id: number; value: unknown }
  | { kind: 'error'; id: number; error: WireError }
  | { kind: 'event'; event: string; args: unknown[] }
  | { kind: 'crash'; origin: string; error: WireError }

/** An error on its way between processes. */
export interface WireError {
  wireError: true
  name: string
  message: string
  stack: string
  code?: string
  address?: string
  /** What was called back beside the error. */
  result?: unknown
  errors?: WireError[]
}

/** An error of the child, as the parent sees it: same name, message, code and stack as there. */
export class RemoteError extends Error {
  declare readonly code?: string
  declare readonly address?: string
  /** What the callback was given beside the error. */
  declare readonly result?: unknown
  /** Those of an AggregateError. */
  declare readonly errors?: Error[]

  constructor(error: WireError) {
    super(error.message)
    this.name = error.name
    this.stack = error.stack
    if (error.code !== undefined) this.code = error.code
    if (error.address !== undefined) this.address = error.address
    if (error.result !== undefined) this.result = error.result
    if (error.errors) this.errors = error.errors.map(one => new RemoteError(one))
  }
}

/** Makes anything that was thrown fit to travel. */
export function pack(thrown: unknown, result?: unknown): WireError {
  const error: Error & { code?: unknown; address?: unknown; errors?: unknown } =
    thrown instanceof Error ? thrown : new Error(String(thrown))
  const { name, message, stack = message, code, address, errors } = error
  return {
    wireError: true,
    name,
    message,
    stack,
    ...(typeof code === 'string' || typeof code === 'number' ? { code: String(code) } : {}),
    ...(typeof address === 'string' ? { address } : {}),
    ...(Array.isArray(errors) ? { errors: errors.map(one => pack(one)) } : {}),
    ...(result === undefined ? {} : { result })
  }
}

/** The counterpart of `pack`: revives an error, and leaves everything else as it is. */
export function unpack(value: unknown): unknown {
  return typeof value === 'object' && value !== null && 'wireError' in value
    ? new RemoteError(value as WireError)
    : value
}
