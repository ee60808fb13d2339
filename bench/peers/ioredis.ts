/** A lookup without anything on top: the command to Redis that it takes. */
import type { Redis } from 'ioredis'
import { randomUUID } from 'node:crypto'
import { load } from '../../test/support/primus-types'
import { connectTo, type Ioredis } from '../../test/support/redis-target'
import type { Actor, ActorSettings } from '../harness/actor'
import type { Done } from '../harness/window'
import type { Control } from '../subjects'

/** As many ids as one command asks for, of those who ask together. */
const MOST = 32

/** Makes this process a client of Redis that answers where sparks are. */
export function openIoredis({ subject, redis, namespace }: ActorSettings<Control>): Promise<Actor> {
  const client = connectTo(redis, load('ioredis') as Ioredis) as Redis
  const key = `${namespace}:sparks`
  const ask = (ids: readonly string[], done: (error: Error | null, places: (string | null)[]) => void): void => {
    client.hmget(key, ...ids).then(
      places => done(null, places),
      (error: unknown) => done(error as Error, [])
    )
  }
  return Promise.resolve({
    port: 0,
    meet: () => Promise.resolve(),
    async pretend(count) {
      const ids = Array.from({ length: count }, () => randomUUID())
      await client.hset(key, ...ids.flatMap(id => [id, 'http://127.0.0.1:12345']))
      return ids
    },
    lookUpOne:
      subject.together === true
        ? gathering(ask)
        : (id, done) => ask([id], (error, [place]) => answer(done, error, place)),
    lookUpMany: (ids, done) => ask(ids, (error, places) => answer(done, error, places.every(Boolean)))
  })
}

function answer(done: Done, error: Error | null, found: unknown): void {
  done(error ?? (found ? null : new Error('no server has the spark')), 1)
}

/** Asks for all that is asked within one turn together, so many at a time. */
function gathering(
  ask: (ids: readonly string[], done: (error: Error | null, places: (string | null)[]) => void) => void
): (id: string, done: Done) => void {
  let ids: string[] = []
  let waiting: Done[] = []
  const send = (): void => {
    const dones = waiting
    if (dones.length === 0) return
    ask(ids, (error, places) => dones.forEach((done, i) => answer(done, error, places[i])))
    ids = []
    waiting = []
  }
  return (id, done) => {
    if (ids.push(id) === 1) setImmediate(send)
    if (waiting.push(done) === MOST) send()
  }
}
