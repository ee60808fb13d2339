import { randomUUID } from 'node:crypto'
import { ignore } from '../../lib/common/callback'
import { DESCRIPTION } from '../harness/description'
import type { LifeId } from '../../lib/registry/records'
import { SLICE } from '../../lib/registry/batch-size'
import { Registry } from '../../lib/registry/registry'
import { namespaces } from '../../lib/registry/sharding'
import type { RedisClient } from '../../lib/common/types'

/** Long enough that no lease ends while something is measured, in ms. */
export const TERMS = { lease: 600_000, interval: 600_000 }
const TIMEOUT = 20_000
/** Carries a hash tag, as on Redis Cluster one registry alone needs it, and with shards must not. */
const NAMESPACE = { one: '{scaling}', many: 'scaling' }

let taken = 0

/** Our part in one registry as a server of our own, and nothing else: what it asks, it asks when it is told to. */
export class Lane {
  /** Of no other server. The address has 27 bytes. */
  readonly me: LifeId = {
    address: `http://node-${String(++taken).padStart(6, '0')}.lan:808`,
    life: randomUUID().slice(0, 16)
  }
  #seq = 0

  constructor(readonly registry: Registry) {}

  /** Joins. */
  async open(): Promise<this> {
    const { life } = await this.registry.resident(this.me.address)
    const { as } = await this.registry.join(this.me, 0, TERMS, DESCRIPTION, life, true)
    if (as !== 'joined') throw new Error(`${this.me.address} could not join: ${as}.`)
    return this
  }

  /** Writes ids, as one commit. */
  async commit(connects: readonly string[], disconnects: readonly string[]): Promise<void> {
    const written = await this.registry.sparks.commit(this.me, ++this.#seq, { connects, disconnects })
    if (written.as !== 'ok') throw new Error(`A commit was ${written.as}.`)
  }

  /** Connects so many sparks, in commits as large as they may be. */
  async fill(count: number): Promise<void> {
    for (let left = count; left > 0; left -= SLICE) await this.commit(ids(Math.min(left, SLICE)), [])
  }
}

/** So many ids, as long as those that Primus makes. */
export function ids(count: number): string[] {
  return Array.from({ length: count }, () => randomUUID())
}

/**
 * Lanes of so many servers into each of the registries that a cluster is split into, each with a connection of its own.
 */
export async function openLanes(redis: RedisClient, shards: number, servers: number): Promise<Lane[]> {
  const open = (name: string): Lane =>
    new Lane(
      Registry.open(
        redis,
        name,
        { timeout: TIMEOUT, name: 'lane' },
        { ready: ignore, lost: ignore, endangered: ignore, secured: ignore }
      )
    )
  const names = namespaces(shards === 1 ? NAMESPACE.one : NAMESPACE.many, shards)
  return Promise.all(names.flatMap(name => Array.from({ length: servers }, () => open(name).open())))
}

/** Does something `count` times, by all lanes; each does one thing at a time, and no more than `together` do. */
export async function inTurns(
  lanes: readonly Lane[],
  count: number,
  work: (lane: Lane, turn: number) => Promise<unknown>,
  together = 32
): Promise<void> {
  const groups = Array.from({ length: Math.min(together, lanes.length) }, (_, first) =>
    lanes.filter((_, i) => i % together === first)
  )
  let turn = 0
  await Promise.all(
    groups.map(async group => {
      for (;;) {
        for (const lane of group) {
          if (turn >= count) return
          await work(lane, turn++)
        }
      }
    })
  )
}
