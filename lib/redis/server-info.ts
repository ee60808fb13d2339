import type { Redis } from 'ioredis'
import { withTimeout } from '../common/async'
import { isReply } from '../common/errors'
import { RedisUnusable } from './refusal'

/** The sections of INFO that are read. */
type Section = 'memory' | 'persistence' | 'replication'

/**
 * Read a section of INFO, as text; `''` where Redis refuses it, as an ACL or a managed service may.
 *
 * @param timeout in ms
 * @throws Error when Redis does not answer in time, or the connection breaks
 */
export async function readInfo(client: Redis, section: Section, timeout: number): Promise<string> {
  const late = (): Error => new Error(`Redis did not answer INFO within ${timeout} ms.`)
  try {
    return await withTimeout(client.info(section), timeout, late)
  } catch (error) {
    if (isReply(error)) return ''
    throw error
  }
}

/** What to set where Redis may evict the keys of the registry, by its section `memory`; a sentence. */
export function evictionOf(memory: string): string | undefined {
  const limit = Number(field(memory, 'maxmemory') ?? 0)
  const policy = field(memory, 'maxmemory_policy') ?? 'noeviction'
  if (limit === 0 || policy === 'noeviction') return undefined
  return (
    `Redis evicts keys when it is full: its maxmemory-policy is ${policy}, and maxmemory is ${limit} bytes. ` +
    'It may remove the lease of a live server, and the ids of connected sparks. Set maxmemory-policy to noeviction.'
  )
}

/**
 * Why Redis may not be used, by its section `replication`: it is a replica.
 *
 * A replica may be writable. What is written to it is lost when it synchronizes with its master the next time.
 */
export function replicaOf(replication: string): RedisUnusable | undefined {
  if (field(replication, 'role') !== 'slave') return undefined
  const master = `${field(replication, 'master_host') ?? ''}:${field(replication, 'master_port') ?? ''}`
  const writable = field(replication, 'slave_read_only') === '0' ? ' It loses what is written to it.' : ''
  return new RedisUnusable(
    `Redis is a replica of ${master}, and the registry belongs on a master.${writable} ` +
      'Connect to the master, through Sentinel or Cluster where it may change.'
  )
}

/** Why Redis may not be used yet, by its section `persistence`: it was started with data, and refuses all commands. */
export function loadingOf(persistence: string): RedisUnusable | undefined {
  return field(persistence, 'loading') === '1' ? new RedisUnusable('Redis is loading its data.') : undefined
}

function field(section: string, name: string): string | undefined {
  return new RegExp(`^${name}:([^\\r\\n]*)`, 'm').exec(section)?.[1]
}
