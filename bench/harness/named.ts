/** A server without Primus, whose sparks have users: what runs in the process of one. */
import { load } from '../../test/support/primus-types'
import { connectTo, type Ioredis, type RedisTarget } from '../../test/support/redis-target'
import { eventually } from '../../test/support/wait'
import { ignore } from '../../lib/common/callback'
import { Shards } from '../../lib/shards/shards'
import { Stats } from '../../lib/reporting/stats'
import type { Spark } from '../../lib/common/types'
import { DESCRIPTION } from './description'
import { nanoid } from './pretend'

/** Where it is registered, and what it has. */
export interface NamedSettings {
  redis: RedisTarget
  namespace: string
  address: string
  sparks: number
}

let shards: Shards | undefined
let ids: string[] = []

const patience = 120_000

/** Opens it. Resolves when the registry has all of its sparks, of which none has a user. */
export async function open({ redis, namespace, address, sparks }: NamedSettings): Promise<void> {
  const client = connectTo({ ...redis, lazyConnect: true }, load('ioredis') as Ioredis)
  const opened = (shards = new Shards(
    {
      redis: client,
      namespace,
      name: 'bench',
      shards: 1,
      timeout: 5000,
      lease: 60_000,
      interval: 300_000,
      latency: 2000,
      server: {
        tag: () => '',
        ask: () => Promise.resolve('self'),
        description: () => DESCRIPTION
      }
    },
    new Stats(),
    {
      registered: ignore,
      unregistered: ignore,
      joined: ignore,
      left: ignore,
      replaced: ignore,
      settled: ignore,
      buried: ignore,
      changed: ignore,
      failed: ignore,
      healed: ignore,
      reap: ignore
    }
  ))
  ids = Array.from({ length: sparks }, () => Buffer.from(nanoid()).toString())
  await opened.lives.register(address, true)
  for (const id of ids) opened.sparks.connect(id, { id } as Spark)
  await written(opened)
}

/** Each spark gets a user, one of so many, whose names have 12 bytes. Resolves when the registry has them. */
export async function identify(users: number): Promise<void> {
  if (shards === undefined) throw new Error('There is no server yet.')
  for (const [i, id] of ids.entries())
    shards.users.identify(id, `user${String(i % users).padStart(8, '0')}`).catch(ignore)
  await written(shards)
}

/** Closes it, with all that it has. */
export async function close(): Promise<void> {
  await shards?.close()
}

async function written(server: Shards): Promise<void> {
  await eventually(() => server.sparks.waiting === 0 && server.state === 'ready', {
    what: 'all to be written',
    within: patience,
    every: 50
  })
}
