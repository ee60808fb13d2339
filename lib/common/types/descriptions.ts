import type { ConnectedSpark } from './primus'
import type { Failure } from './results'

/**
 * Says what a spark is: a function that is called when it connects, or one value for all sparks of a server.
 *
 * The value, or that of a returned promise, is one that JSON can express in at most 1024 bytes; `undefined` or `null`:
 * nothing. The return type is `unknown`, because what it says often comes from a client. It is checked when it comes.
 */
export type InfoOption = ((spark: ConnectedSpark) => unknown) | string | number | boolean | object | null

/** What its server knows of a spark. */
export interface SparkDescription {
  readonly spark: string
  /** Its user; `null` for none. */
  readonly user: string | null
  /** The address of its server. */
  readonly address: string
  /** The name of its server: the option `name`. */
  readonly server: string
  /** When it connected, in ms since 1970 by the clock of its server. */
  readonly since: number
  /** How long it has been connected, in ms, by a clock that never jumps. */
  readonly age: number
  /** The transformer of Primus that carries it, such as `'websockets'`. */
  readonly transport: string
  /** The groups that it is in. */
  readonly groups: readonly string[]
  /** What the option `info` of its server says of it; `null` for nothing. */
  readonly info: unknown
}

/** What was found out of sparks. */
export interface Descriptions {
  /** Nothing failed and nothing is missing. */
  ok: boolean
  /** In the order of the ids, or of the users. */
  sparks: SparkDescription[]
  /** Ids that no server holds; users without sparks. */
  missing?: string[]
  /** The servers that did not answer, each with the ids it was asked about. */
  failed?: Failure[]
}
