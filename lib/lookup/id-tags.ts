import { randomBytes } from 'node:crypto'

/** The length of an id with a tag, in characters: that of the ids that Primus makes. */
const ID_LENGTH = 21
/** The length of a tag. The rest of an id has 90 random bits. */
const TAG_LENGTH = 6
/** How many characters precede the tag. */
const RANDOM_LENGTH = ID_LENGTH - TAG_LENGTH
/** How many ids are made from one call for random bytes. */
const IDS_PER_POOL = 64

/** A random tag for a server: the ids of its sparks end in it. Its alphabet is that of Primus's ids. */
export function randomTag(): string {
  return randomCharacters(TAG_LENGTH)
}

/** The tag at the end of an id; `''` for an id of another length. An id that was made without a tag may look tagged. */
export function tagIn(id: string): string {
  return id.length === ID_LENGTH ? id.slice(RANDOM_LENGTH) : ''
}

/** A generator of random ids that end in a tag. */
export function taggedIds(tag: string): () => string {
  let pool = ''
  let at = 0
  return () => {
    if (at === pool.length) {
      pool = randomCharacters(IDS_PER_POOL * RANDOM_LENGTH)
      at = 0
    }
    const random = pool.slice(at, at + RANDOM_LENGTH)
    at += RANDOM_LENGTH
    return random + tag
  }
}

/**
 * The addresses of servers by their tags, so that an id tells where its spark is.
 *
 * It is empty while a server has no tag: that one may give a spark an id that another server made, for example one
 * that a cookie kept. A tag that two servers have is left out.
 */
export function addressesByTag(
  servers: Iterable<readonly [address: string, tag: string]>
): ReadonlyMap<string, string> {
  const addresses = new Map<string, string>()
  const repeated = new Set<string>()
  for (const [address, tag] of servers) {
    if (tag === '') return new Map()
    if (addresses.has(tag)) repeated.add(tag)
    addresses.set(tag, address)
  }
  for (const tag of repeated) addresses.delete(tag)
  return addresses
}

/** Random characters of base64url, 6 bits each. */
function randomCharacters(count: number): string {
  return randomBytes(Math.ceil((count * 3) / 4))
    .toString('base64url')
    .slice(0, count)
}
