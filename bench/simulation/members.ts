/** Servers without clients or ports, many in a process: what runs in the process of some. */
import { setTimeout as pass } from 'node:timers/promises'
import metroplex, { type Metroplex } from '../../index'
import { load } from '../../test/support/primus-types'
import { connectTo, type Ioredis, type RedisTarget } from '../../test/support/redis-target'
import { Dice } from '../../test/support/dice'
import { ids } from './lanes'

/** Who they are. */
export interface Crew {
  readonly redis: RedisTarget
  readonly namespace: string
  readonly shards: number
  /** In ms. */
  readonly lease: number
  readonly count: number
  /** What tells their addresses from those of others. */
  readonly name: string
  /** With `'redis'` they answer, although none listens at their addresses. @default 'http' */
  readonly transport?: 'http' | 'redis'
}

/** What they do for a while. */
export interface Shift {
  readonly ms: number
  /** Of all of them together, a second: sparks that go, each followed by another one, and questions. */
  readonly churn: number
  readonly lookups: number
}

interface Member {
  readonly metroplex: Metroplex
  readonly sparks: string[]
}

const TICK = 5
const dice = new Dice(1)
const members: Member[] = []

/** Makes this process so many servers. Resolves when all are registered. */
export async function openCrew({
  redis,
  namespace,
  shards,
  lease,
  count,
  name,
  transport = 'http'
}: Crew): Promise<void> {
  const client = connectTo(redis, load('ioredis') as Ioredis)
  for (let i = 0; i < count; i++) {
    const address = `http://${name}-${String(i).padStart(6, '0')}.lan:808`
    members.push({
      metroplex: new metroplex(
        {},
        { redis: client, namespace, address, metroplex: { lease, transport, ...(shards > 1 && { shards }) } }
      ),
      sparks: []
    })
  }
  await Promise.all(members.map(({ metroplex }) => metroplex.ready()))
}

/** Resolves when each knows so many peers. */
export async function awaitCrew(peers: number): Promise<void> {
  while (members.some(({ metroplex }) => metroplex.stats().peers !== peers)) await pass(TICK)
}

/** So many sparks come to each of them, at once. */
export function fill(each: number): void {
  for (const { metroplex, sparks } of members) {
    for (const id of ids(each)) {
      sparks.push(id)
      metroplex.connect({ id, write: () => true, end: () => undefined })
    }
  }
}

/** Sparks come and go, and are asked for, evenly. Resolves with how many questions failed. */
export async function work({ ms, churn, lookups }: Shift): Promise<number> {
  const began = performance.now()
  let [moved, asked, failed] = [0, 0, 0]
  const asking = new Set<Promise<unknown>>()
  for (let passed = 0; passed < ms; passed = performance.now() - began) {
    for (; moved < (churn * passed) / 1000; moved++) renew(dice.one(members))
    for (; asked < (lookups * passed) / 1000; asked++) {
      const question = dice
        .one(members)
        .metroplex.spark(dice.one(dice.one(members).sparks))
        .catch(() => {
          failed++
        })
        .finally(() => asking.delete(question))
      asking.add(question)
    }
    await pass(TICK)
  }
  await Promise.all(asking)
  return failed
}

/** A spark goes, and another one comes to some server. */
function renew({ metroplex, sparks }: Member): void {
  const spark = (id: string): Parameters<Metroplex['connect']>[0] => ({ id, write: () => true, end: () => undefined })
  const at = dice.below(sparks.length)
  metroplex.disconnect(spark(sparks[at] ?? ''))
  sparks[at] = sparks.at(-1) ?? ''
  sparks.pop()
  const to = dice.one(members)
  const [id = ''] = ids(1)
  to.sparks.push(id)
  to.metroplex.connect(spark(id))
}

/** How often one of them found the registry wrong, or failed at something. */
export function disturbed(): number {
  return members.reduce(
    (sum, { metroplex }) => sum + metroplex.stats().counters.heals + metroplex.stats().counters.errors,
    0
  )
}
