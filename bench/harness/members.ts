/** Servers without Primus and without sparks, many of them in one process: what runs there. */
import { load, type MetroplexUnderTest } from '../../test/support/primus-types'
import { connectTo, type Ioredis, type RedisTarget } from '../../test/support/redis-target'
import { eventually, once } from '../../test/support/wait'
import type { Plugin } from '../subjects'

/** What members are made of. */
export interface MemberSettings {
  subject: Plugin
  redis: RedisTarget
  namespace: string
  options: object
  /** How many more there are to be. */
  count: number
}

/** One of them. */
export type Member = MetroplexUnderTest & {
  stats?(): { peers: number; state: string }
  /** 1.x has none. */
  join?(sparks: string | readonly string[], groups: string | readonly string[]): Promise<unknown>
  groups?(names: string): Promise<unknown>
}
type MemberConstructor = new (primus: object, options: object) => Member

const members: Member[] = []

const patience = 60_000

/** Opens some in this process. Resolves when they have registered. */
export async function openMembers({ subject, redis, namespace, options, count }: MemberSettings): Promise<void> {
  const ioredis = load('ioredis') as Ioredis
  const Metroplex = load(subject.module) as MemberConstructor
  await Promise.all(
    Array.from({ length: count }, () => {
      const number = members.length
      const address = `http://10.${number >> 16}.${(number >> 8) & 255}.${number & 255}:8080`
      // This project's talk through a duplicate, those of 1.x through the very client.
      const member = new Metroplex(
        {},
        { redis: connectTo({ ...redis, lazyConnect: true }, ioredis), namespace, address, ...options }
      )
      members.push(member)
      return once(member, 'register', { within: patience })
    })
  )
}

/** Those in this process. */
export function opened(): readonly Member[] {
  return members
}

/**
 * Resolves when each in this process knows so many others, and nothing is left for it to put right. 1.x keeps no list:
 * it asks.
 */
export async function awaitAcquaintance(others: number): Promise<void> {
  const known = (): boolean =>
    members.every(member => {
      const { peers = others, state = 'ready' } = member.stats?.() ?? {}
      return peers === others && state === 'ready'
    })
  await eventually(known, { what: `${others} others for each`, within: patience, every: 50 })
}
