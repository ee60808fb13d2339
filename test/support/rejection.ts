import { inspect } from 'node:util'

/**
 * Resolves with the error a promise rejects with.
 *
 * @throws When it resolves, with what it resolved with; or when it rejects with something that is no Error.
 *
 * @example
 * assume((await rejection(server.call('nothing'))).message).includes('nothing')
 */
export async function rejection(promise: PromiseLike<unknown>): Promise<Error & { code?: unknown }> {
  let value: unknown
  try {
    value = await promise
  } catch (error) {
    if (error instanceof Error) return error
    throw new Error(`rejected with something that is no Error: ${String(error)}`, { cause: error })
  }
  throw new Error(`expected a rejection, but it resolved with ${inspect(value)}`)
}
