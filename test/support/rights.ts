import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/**
 * The rules of ACL that docs/keys.md says we need, for one namespace: what users are told is what is tested.
 *
 * @throws When the document has them no longer where they were.
 */
export function documentedRights(namespace: string): string[] {
  const document = readFileSync(join(__dirname, '..', '..', '..', 'docs', 'keys.md'), 'utf8')
  const ours = /\n(\+get [^`]*)```/.exec(document)?.[1]?.replaceAll('metroplex:*', `${namespace}:*`)
  const ioredis = /Besides `([^`]*)`, which ioredis uses to connect/.exec(document)?.[1]
  if (ours === undefined || ioredis === undefined) throw new Error('docs/keys.md no longer says which rights we need')
  return `${ioredis} ${ours}`.trim().split(/\s+/)
}
