import { ObservedPromise, type Urgency } from '../lib/common/async'
import { ignore } from '../lib/common/callback'
import type { Result } from '../index'
import { assume } from './support/assume'
import { openClient } from './support/client'
import { sharedRedis } from './support/shared-redis'
import { rejection } from './support/rejection'
import { startServer, type ServerProcess } from './support/server'

/** Whether a use of a promise is noted before the turn of the event loop ends. */
async function noted(use: (promise: Promise<number>) => unknown, source = Promise.resolve(1)): Promise<boolean> {
  const urgency: Urgency = { urgent: false }
  const promise = new ObservedPromise(source, urgency)
  use(promise)
  // As an outbox does before it sends.
  await new Promise<void>(resolve => {
    process.nextTick(() => {
      queueMicrotask(resolve)
    })
  })
  return urgency.urgent
}

describe('a promise that notes whether a caller waits', () => {
  const uses: [how: string, use: (promise: Promise<number>) => unknown][] = [
    ['await', async promise => await promise],
    ['then()', promise => promise.then(ignore, ignore)],
    ['finally()', promise => promise.finally(ignore)],
    ['Promise.all()', promise => Promise.all([promise])],
    ['Promise.race()', promise => Promise.race([promise])],
    ['Promise.resolve()', promise => Promise.resolve(promise)],
    ['the result of an async function', async promise => await (async () => promise)()]
  ]
  for (const [how, use] of uses) {
    it(`notes ${how}`, async () => {
      assume(await noted(use)).true()
    })
  }

  it('notes nothing when it is dropped, or when only its rejection matters', async () => {
    assume(await noted(ignore)).false()
    assume(await noted(promise => promise.catch(ignore))).false()
  })

  it('settles as any other, and later ones too', async () => {
    const urgency = { urgent: false }
    assume(await new ObservedPromise(Promise.resolve(1), urgency)).equals(1)
    assume((await rejection(new ObservedPromise(Promise.reject(new Error('no')), urgency))).message).equals('no')
    const derived = new ObservedPromise(Promise.resolve(1), urgency).then(one => one + 1)
    assume(derived instanceof ObservedPromise).false()
    assume(await derived).equals(2)
  })
})

describe('forwards whose results no caller waits for', () => {
  const shared = sharedRedis()

  const start = (): Promise<ServerProcess> =>
    startServer({ redis: { url: shared.redis.url, namespace: shared.space }, omega: false })

  it('arrive in order with others, and each has its result for callers that come later', async () => {
    const [a, b] = [await start(), await start()]
    const client = await openClient(b.url)
    const unknown = 'no such spark'
    const results = await a.run(
      async (primus, id: string, unknown: string) => {
        const { forward } = primus as unknown as { forward: { spark(id: string, msg: unknown): Promise<unknown> } }
        const later: Promise<unknown>[] = []
        for (let n = 0; n < 200; n++) {
          const result = forward.spark(id, n)
          if (n % 50 === 49) await result
          else later.push(result)
          if (n % 3 === 0) await new Promise(resolve => setImmediate(resolve))
        }
        const missing = forward.spark(unknown, 'x')
        await new Promise(resolve => setImmediate(resolve))
        return [await Promise.all(later), await missing]
      },
      client.id,
      unknown
    )
    const [sent, missing] = results as [Result[], Result]
    assume(sent).eql(Array(196).fill({ ok: true, send: 1 }))
    assume(missing).eql({ ok: false, send: 0, missing: [unknown] })
    await client.count(200)
    assume(client.messages).eql(Array.from({ length: 200 }, (_, n) => n))
  })

  it('reach several sparks and all of them, too', async () => {
    const [a, b] = [await start(), await start()]
    const client = await openClient(b.url)
    await a.run(async (primus, id: string) => {
      type Way = (...args: unknown[]) => unknown
      const { forward } = primus as unknown as { forward: Record<'spark' | 'sparks' | 'broadcast' | 'except', Way> }
      forward.spark(id, 1)
      await new Promise(resolve => setImmediate(resolve))
      forward.sparks([id], 2)
      forward.broadcast(3)
      await forward.except([], 4)
    }, client.id)
    await client.count(4)
    assume([...client.messages].sort()).eql([1, 2, 3, 4])
  })
})
