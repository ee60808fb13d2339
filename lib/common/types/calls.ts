import type { ClusterError } from '../errors'
import type { Primus, Spark } from './primus'

/** Options of `call`, `first`, `apply`, `publish` and `request`. */
export interface AskOptions {
  /**
   * How long to wait for an answer, in ms; from 1 to 2147483647. Then the call fails with `EDEADLINE`.
   * @default the option `timeout`
   */
  timeout?: number
  /** Aborting it ends the call, here and at the servers that were asked. */
  signal?: AbortSignal
  /** Only these servers, by their addresses. @default all */
  to?: string | readonly string[]
  /** Whether this server is one of `all`. @default true for calls, false for events */
  self?: boolean
}

/** The `this` of a method that a peer calls. */
export interface MethodContext {
  /** The address of the calling server; `''` for a process without one. */
  readonly from: string
  /** The address of this server. */
  readonly address: string
  /** Whether this server calls itself. */
  readonly local: boolean
  /** Aborted when the answer is not needed any more: the caller aborted, its deadline passed, or it left. */
  readonly signal: AbortSignal
  /** For `apply`: the spark that the call is about. */
  readonly spark?: Spark
  readonly primus?: Primus
}

/**
 * A function that peers may call. Its answer is what it returns, or what its promise resolves with: a value that JSON
 * can express, or binary. What it throws is `EREMOTE` at the caller.
 */
export type Method = (this: MethodContext, ...args: never[]) => unknown

/** The answer of one server to a call. */
export type Called =
  | { readonly address: string; readonly ok: true; readonly value: unknown; readonly error?: undefined }
  | { readonly address: string; readonly ok: false; readonly error: ClusterError; readonly value?: undefined }

/** The clients that a request to many is for: ids of sparks, all sparks of users, or all sparks in groups. */
export type RequestTargets =
  | string
  | readonly string[]
  | { readonly user: string | readonly string[] }
  | { readonly group: string | readonly string[] }

/** How long to wait for the replies of many clients, and for how many. */
export interface ManyRequestsOptions extends Pick<AskOptions, 'signal'> {
  /**
   * How long to wait for all replies together, in ms; from 1 to 2147483647. Then each client that has not replied is an
   * entry with the error `EDEADLINE`. @default the option `timeout`
   */
  timeout?: number
  /** After so many replies that are no failures the others are given up; at least 1. @default all */
  enough?: number
}

/** The reply of one client to a request, or why there is none. */
export type ClientReply =
  | { readonly spark: string; readonly ok: true; readonly value: unknown; readonly error?: undefined }
  | { readonly spark: string; readonly ok: false; readonly error: ClusterError; readonly value?: undefined }

/** The second argument of an event handler. */
export interface EventContext extends Pick<MethodContext, 'from' | 'address' | 'local' | 'signal'> {
  readonly type: string
}

/** Called for each event of a type. When it returns a promise, the publisher's result waits for it. */
export type Handler = (data: never, context: EventContext) => unknown
