import { load } from './primus-types'

/**
 * The assertion library, with types that compile.
 *
 * assume ships declarations, but they hold an implicit `any`, which our tsconfig refuses.
 *
 * @example
 * assume(await metroplex.count()).equals(3)
 * assume(answer).is.deep.equal({ ok: true, send: 1 })
 */
export const assume = load('assume') as (value: unknown) => Assumption

/** Words that only make a sentence, flags that change the assertion behind them, and assertions, which throw. */
export interface Assumption {
  readonly to: Assumption
  readonly be: Assumption
  readonly is: Assumption
  readonly was: Assumption
  readonly and: Assumption
  readonly has: Assumption
  readonly have: Assumption
  readonly that: Assumption
  readonly does: Assumption

  /** Turns the assertion round. */
  readonly not: Assumption
  /** Compares by structure. */
  readonly deep: Assumption

  a(type: string, message?: string): void
  an(type: string, message?: string): void
  instanceOf(type: abstract new (...args: never[]) => unknown, message?: string): void

  /** `===`, or by structure after `deep`. */
  equal(value: unknown, message?: string): void
  equals(value: unknown, message?: string): void
  /** By structure. */
  eql(value: unknown, message?: string): void
  either(values: unknown[], message?: string): void

  /** A part of a string, an element of an array, or a key and value of an object. */
  include(value: unknown, message?: string): void
  includes(value: unknown, message?: string): void
  contain(value: unknown, message?: string): void
  contains(value: unknown, message?: string): void
  match(pattern: RegExp | string, message?: string): void
  matches(pattern: RegExp | string, message?: string): void
  startsWith(text: string, message?: string): void
  endsWith(text: string, message?: string): void

  ok(message?: string): void
  truthy(message?: string): void
  falsy(message?: string): void
  true(message?: string): void
  false(message?: string): void
  exists(message?: string): void

  empty(message?: string): void
  /** Of a string or array, or the number of keys of an object. */
  length(length: number, message?: string): void
  size(length: number, message?: string): void
  property(key: string, value?: unknown, message?: string): void
  owns(key: string, value?: unknown, message?: string): void

  above(value: number, message?: string): void
  atleast(value: number, message?: string): void
  below(value: number, message?: string): void
  atmost(value: number, message?: string): void
  within(lowest: number, highest: number, message?: string): void
  near(value: number, margin: number, message?: string): void

  throw(error?: RegExp | string | (abstract new (...args: never[]) => unknown), message?: string): void
  throws(error?: RegExp | string | (abstract new (...args: never[]) => unknown), message?: string): void
}
