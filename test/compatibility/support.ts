import type { ServerResponse } from 'node:http'
import type { Forward, Result, Spark } from '../../index'
import type { CreatedPrimus, PrimusOptions } from '../support/primus'
import type { PrimusUnderTest } from '../support/primus-types'
import { createRegistered, type Registered } from '../support/registered'
import { deadline } from '../support/wait'

/** The part of a Primus server that only these tests use. */
export interface Primus extends PrimusUnderTest {
  readonly forward: Forward
  readonly options: Record<string, unknown>
  readonly reserved: { readonly events: Record<string, unknown> }
  emit(event: string, ...args: unknown[]): boolean
}

/** A server of the cluster in this process. */
export interface Member extends Registered {
  primus: Primus
}

/** omega-supreme's `middleware` option, as its users write it. */
export type OmegaMiddleware = (
  primus: Primus,
  parse: (primus: Primus, raw: string, res: ServerResponse) => unknown,
  req: NodeJS.ReadableStream & { headers: Record<string, string | undefined>; method: string; url: string },
  res: ServerResponse,
  next: () => void
) => void

/** What a callback in the style of 1.x was called with. */
export interface Answer<T> {
  error: Error | null | undefined
  value: T | undefined
  /** What the method returned, for chaining. */
  returned: unknown
}

/** Calls a method with a callback, and resolves with what that was given; an error too is an answer. */
export async function answer<T>(
  call: (fn: (error: Error | null | undefined, value?: T) => void) => unknown
): Promise<Answer<T>> {
  let returned: unknown
  const [error, value] = await deadline(
    new Promise<[Error | null | undefined, T | undefined]>(resolve => {
      returned = call((error, value) => resolve([error, value]))
    }),
    10_000,
    'the callback'
  )
  return { error, value, returned }
}

/** The same, of a method that has to succeed: its value. */
export async function value<T>(
  call: (fn: (error: Error | null | undefined, value?: T) => void) => unknown
): Promise<T> {
  const { error, value } = await answer(call)
  if (error) throw error
  return value as T
}

/** What 1.x promised of a forward's result; more may be there. */
export function promised({ ok, send, local }: Result = { ok: false, send: -1 }): Pick<Result, 'ok' | 'send' | 'local'> {
  return { ok, send, ...(local !== undefined && { local }) }
}

/** Starts a server in this process, with omega-supreme, and waits until it is registered. */
export async function member(url: string, namespace: string, options: Partial<PrimusOptions> = {}): Promise<Member> {
  const created = await createRegistered({ redis: { url, namespace }, omega: 'before', ...options })
  return { ...created, primus: created.primus as Primus }
}

/** What `createPrimus` gives, with the types of this plugin. */
export function typed(created: CreatedPrimus): Omit<Member, 'forward' | 'address'> {
  return created as unknown as Omit<Member, 'forward' | 'address'>
}

/** A connection as applications make one up, to call `connect` and `disconnect` from outside. */
export function sparkOf(id: string): Spark {
  return { id, write: () => true, end: () => undefined }
}
