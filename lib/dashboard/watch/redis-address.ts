import { databaseOf, isCluster } from '../../common/ioredis-client'
import type { RedisClient } from '../../common/types'

interface Node {
  readonly host?: string | null
  readonly port?: number | null
}

/** The options of a client that say where its Redis is. ioredis has null for those that are not given. */
interface Place extends Node {
  readonly path?: string | null
  readonly name?: string | null
  readonly sentinels?: readonly Node[] | null
}

/** Where a client expects Redis, for people. It shows no user and no password. */
export function dialledBy(redis: RedisClient): string {
  if (isCluster(redis)) {
    const { startupNodes = [] } = redis as unknown as { startupNodes?: readonly (Node | string | number)[] }
    return `the Redis Cluster at ${startupNodes.map(nodeText).join(', ')}`
  }
  const { path, host, port, name, sentinels } = (redis as unknown as { options: Place }).options
  const database = databaseOf(redis)
  const part = database === 0 ? '' : `, database ${database}`
  if (sentinels && sentinels.length > 0)
    return `the master ${name ?? ''} of the Sentinels at ${sentinels.map(nodeText).join(', ')}${part}`
  return `${path ?? nodeText({ host: host ?? null, port: port ?? null })}${part}`
}

function nodeText(node: Node | string | number): string {
  if (typeof node === 'number') return `localhost:${node}`
  // A URL may carry a password.
  if (typeof node === 'string') return URL.canParse(node) ? new URL(node).host : node.replace(/^.*@/, '')
  const host = node.host ?? 'localhost'
  return `${host.includes(':') ? `[${host}]` : host}:${node.port ?? 6379}`
}
