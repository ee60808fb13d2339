import type { Cluster, ClusterNode, Redis, RedisOptions } from 'ioredis'
import { asError, inspectValue } from './errors'
import type { RedisClient } from './types'

/** The state of an ioredis client that we read. Not all of it is public. */
interface ClientState {
  readonly options: {
    readonly db?: number
    readonly keyPrefix?: string
    readonly redisOptions?: { readonly db?: number; readonly keyPrefix?: string }
  }
  /** The state of the current connection; `undefined` before the first one. */
  readonly condition?: { readonly select?: number }
  /** The state of the last connection while ioredis opens the next one, to which it restores it. */
  readonly prevCondition?: { readonly select?: number } | null
}

/** The methods that we use. A mock mostly lacks some of them, here or in its pipelines. */
const METHODS = ['duplicate', 'defineCommand', 'call', 'pipeline', 'connect', 'disconnect', 'on'] as const

/**
 * Whether a value is an ioredis client. Judged by its structure, because applications bring their own copy of
 * ioredis.
 */
export function isClient(given: unknown): given is RedisClient {
  if (typeof given !== 'object' || given === null) return false
  const one = given as Partial<Record<string, unknown>>
  try {
    return (
      typeof one['status'] === 'string' &&
      typeof one['options'] === 'object' &&
      one['options'] !== null &&
      METHODS.every(name => typeof one[name] === 'function') &&
      typeof (one as { pipeline?(): Partial<Record<string, unknown>> | undefined }).pipeline?.()?.['call'] ===
        'function'
    )
  } catch {
    // A mock may throw for what it lacks.
    return false
  }
}

/**
 * A second client with the options of the first, and others in addition.
 *
 * @throws TypeError that says what is wrong with `duplicate` of a mock or of a class of the application
 */
export function duplicateOf(user: RedisClient, options: RedisOptions): Redis {
  return checkedDuplicate(() => (user as unknown as Redis).duplicate(options)) as unknown as Redis
}

/** As `duplicateOf`, for a client of a Cluster. @param nodes where it starts; none: where the first one did */
export function duplicateClusterOf(
  user: Cluster,
  nodes: readonly ClusterNode[],
  options: NonNullable<Parameters<Cluster['duplicate']>[1]>
): Cluster {
  return checkedDuplicate(() => user.duplicate([...nodes], options)) as unknown as Cluster
}

function checkedDuplicate(duplicate: () => unknown): RedisClient {
  let made: unknown
  try {
    made = duplicate()
  } catch (error) {
    made = asError(error)
  }
  if (isClient(made)) return made
  const what = made instanceof Error ? `throws: ${made.message.replace(/\.$/, '')}` : `returns ${inspectValue(made)}`
  throw new TypeError(`\`duplicate\` of the client \`redis\` must return an ioredis client, but it ${what}.`)
}

/** Whether a client is one of a Redis Cluster. */
export function isCluster(client: unknown): client is Cluster {
  return (client as { isCluster?: unknown }).isCluster === true
}

/** The database that a client uses: that of its options, or the one that the application has selected since. */
export function databaseOf(user: RedisClient): number {
  const { options, condition, prevCondition } = user as unknown as ClientState
  return prevCondition?.select ?? condition?.select ?? options.redisOptions?.db ?? options.db ?? 0
}

/** The prefix that a client adds to all keys. */
export function keyPrefixOf(user: RedisClient): string {
  const { options } = user as unknown as ClientState
  return options.keyPrefix ?? options.redisOptions?.keyPrefix ?? ''
}
