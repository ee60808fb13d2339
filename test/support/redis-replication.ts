import { assume } from './assume'
import type { RedisProcess } from './redis'
import { eventually } from './wait'

const user = 'replica'

/**
 * Arguments for a Redis which may have replicas, and may become one: they come as a user of their own, who can be
 * locked out.
 */
export const replicating: readonly string[] = [
  '--user',
  user,
  'on',
  `>${user}`,
  '~*',
  '&*',
  '+@all',
  '--masteruser',
  user,
  '--masterauth',
  user,
  '--repl-diskless-sync-delay',
  '0'
]

/** Whether a replica has all that its master had when it was asked. */
export async function synced(replica: RedisProcess): Promise<boolean> {
  return (await replica.ask(redis => redis.info('replication'))).includes('master_link_status:up')
}

/** Whether it is a master in its own eyes. */
export async function isMaster(redis: RedisProcess): Promise<boolean> {
  const [role] = await redis.ask<unknown[]>(client => client.role())
  return role === 'master'
}

/**
 * Cuts a master off from its replicas: from now on they lag, and what is written to it is lost when one of them takes
 * over.
 *
 * The replicas have all that was written before.
 */
export async function cutReplicas(master: RedisProcess): Promise<void> {
  await master.ask(async redis => {
    await eventually(
      async () => {
        const [, , { length: replicas }] = (await redis.role()) as [string, number, unknown[]]
        // A replica acknowledges once a second by itself, so under steady writes it would always seem to be behind.
        const caughtUp = await redis.wait(replicas, 1000)
        assume([replicas > 0, caughtUp]).eql([true, replicas])
        return true
      },
      { within: 20_000, what: 'replicas that have caught up' }
    )
    await redis.call('ACL', 'SETUSER', user, 'off')
    await redis.call('CLIENT', 'KILL', 'TYPE', 'replica')
  })
}

/** Waits until a master that was has become a replica. */
export async function demotion(former: RedisProcess): Promise<void> {
  await eventually(async () => !(await isMaster(former)), {
    within: 30_000,
    every: 50,
    what: 'a master that became a replica'
  })
}
