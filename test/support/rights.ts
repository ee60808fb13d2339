import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/**
 * The rules of ACL that docs/keys.md says we need, for one namespace: what users are told is what is tested.
 *
 * @param transport `'redis'` when servers talk through Redis, too
 * @throws When the document has them no longer where they were.
 */
export function documentedRights(namespace: string, transport: 'http' | 'redis' = 'http'): string[] {
  const document = readFileSync(join(__dirname, '..', '..', '..', 'docs', 'keys.md'), 'utf8')
  const ours = /\n(\+get [^`]*)```/.exec(document)?.[1]?.replaceAll('metroplex:*', `${namespace}:*`)
  const ioredis = /Besides `([^`]*)`, which ioredis uses to connect/.exec(document)?.[1]
  const channels = /\n(\+publish [^`]*)```/.exec(document)?.[1]?.replaceAll('&metroplex:', `&${namespace}:`)
  if (ours === undefined || ioredis === undefined || channels === undefined)
    throw new Error('docs/keys.md no longer says which rights we need')
  return `${ioredis} ${ours} ${transport === 'redis' ? channels : ''}`.trim().split(/\s+/)
}
