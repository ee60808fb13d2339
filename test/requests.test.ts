import { createClient, type ClientReply, type Forward, type MetroplexOptions } from '../index'
import { assume } from './support/assume'
import { openClient, type Client } from './support/client'
import { using } from './support/dispose'
import { sharedRedis } from './support/shared-redis'
import { createRegistered, type Registered } from './support/registered'
import { rejection } from './support/rejection'
import { startServer } from './support/server'
import { eventually } from './support/wait'

type Own = NonNullable<MetroplexOptions['metroplex']>
type Answer = (data: unknown, reply: (value?: unknown) => void) => unknown

describe('a request to many', () => {
  const shared = sharedRedis()

  const start = (own: Own = {}): Promise<Registered> =>
    createRegistered({ redis: { url: shared.redis.url, namespace: shared.space }, primus: { metroplex: own } })

  /** A client of each server that replies so, which all servers find. */
  const clients = async (servers: readonly Registered[], answer: Answer, half = true): Promise<Client[]> => {
    const opened = await Promise.all(servers.map(({ url }) => openClient(url, { half })))
    for (const { socket } of opened)
      socket.on('request', (data, reply) => answer(data, reply as (value?: unknown) => void))
    for (const { metroplex } of servers)
      await eventually(async () => (await metroplex.sparks(opened.map(({ id }) => id))).every(place => place !== null))
    return opened
  }

  const outside = (): Forward => {
    const made = createClient({ redis: shared.redis.client(), namespace: shared.space })
    using(() => made.close())
    return made.forward
  }

  const all = async (replies: AsyncIterable<ClientReply>): Promise<ClientReply[]> => {
    const list: ClientReply[] = []
    for await (const reply of replies) list.push(reply)
    return list.sort((x, y) => (x.spark < y.spark ? -1 : 1))
  }

  const idsOf = (list: readonly { id?: string; spark?: string }[]): string[] =>
    list.map(({ id, spark }) => id ?? spark ?? '').sort()

  /** Until no server has a question open. */
  const quiet = (...servers: readonly Registered[]): Promise<unknown> =>
    eventually(() => servers.every(({ metroplex }) => metroplex.stats().asked + metroplex.stats().answering === 0))

  it('asks the clients of ids, users and groups on all servers, each once, also from outside', async () => {
    const servers = [await start(), await start()]
    const [a, b] = servers as [Registered, Registered]
    let asked = 0
    const opened = await clients([a, b, b], (data, reply) => {
      asked++
      reply({ was: data })
    })
    const [one, two, three] = opened as [Client, Client, Client]
    await a.metroplex.join([one.id, two.id, three.id], 'x')
    await a.metroplex.join([two.id, three.id], 'y')
    await a.metroplex.identify(one.id, 'ann')
    await b.metroplex.identify(two.id, 'ann')
    for (const forward of [a.forward, b.forward, outside()]) {
      for (const [to, clients] of [
        [one.id, [one]],
        [
          [two.id, one.id, two.id],
          [one, two]
        ],
        [{ user: 'ann' }, [one, two]],
        [{ user: ['ann', 'none'] }, [one, two]],
        [{ group: 'y' }, [two, three]],
        [{ group: ['x', 'y', 'none'] }, [one, two, three]]
      ] as const) {
        asked = 0
        const replies = await all(forward.requests(to, 7))
        assume(idsOf(replies)).eql(idsOf(clients))
        for (const reply of replies) assume(reply).eql({ spark: reply.spark, ok: true, value: { was: 7 } })
        assume(asked).equals(clients.length)
      }
      assume(await all(forward.requests({ user: 'none' }, 7))).eql([])
    }
    await quiet(...servers)
  })

  it('has an entry with the error of each client that does not reply, and yields the others at once', async () => {
    const servers = [await start(), await start()]
    const [a, b] = servers as [Registered, Registered]
    const [well] = (await clients([b], (_data, reply) => {
      reply('well')
    })) as [Client]
    const [mute] = (await clients([b], () => undefined)) as [Client]
    const [bad] = (await clients([a], () => {
      throw new Error('bad')
    })) as [Client]
    const [plain] = (await clients([a], () => undefined, false)) as [Client]
    const ids = [mute.id, well.id, bad.id, plain.id, 'unknown']
    const order: string[] = []
    const codes = new Map<string, unknown>()
    for await (const { spark, ok, value, error } of a.forward.requests(ids, 1, { timeout: 5000 })) {
      order.push(spark)
      codes.set(spark, ok ? value : error.code)
    }
    assume([...codes].sort()).eql(
      [
        [mute.id, 'EDEADLINE'],
        [well.id, 'well'],
        [bad.id, 'EREMOTE'],
        [plain.id, 'EUNREACHABLE'],
        ['unknown', 'ENOSPARK']
      ].sort()
    )
    assume(order.at(-1)).equals(mute.id)
    await quiet(...servers)
  })

  it('ends after enough replies, with a break, and with a signal, and gives the others up', async () => {
    const servers = [await start(), await start()]
    const [a, b] = servers as [Registered, Registered]
    const quick = await clients([a, b], (_data, reply) => {
      reply('quick')
    })
    const never = await clients([a, b], () => undefined)
    const ids = idsOf([...quick, ...never])
    const terms = { timeout: 60_000 }
    const replies = await all(a.forward.requests([...ids, 'unknown'], 1, { ...terms, enough: 2 }))
    assume(idsOf(replies.filter(({ ok }) => ok))).eql(idsOf(quick))
    await quiet(...servers)
    for await (const { ok } of a.forward.requests(ids, 1, terms)) {
      assume(ok).true()
      break
    }
    await quiet(...servers)
    const controller = new AbortController()
    const why = new Error('no more')
    const got: ClientReply[] = []
    const ended = rejection(
      (async () => {
        for await (const reply of a.forward.requests(ids, 1, { ...terms, signal: controller.signal })) {
          got.push(reply)
          if (got.length === 2) setImmediate(() => controller.abort(why))
        }
      })()
    )
    assume(await ended).equals(why)
    assume(idsOf(got)).eql(idsOf(quick))
    await quiet(...servers)
    assume(await rejection(all(a.forward.requests(ids, 1, { signal: AbortSignal.abort(why) })))).equals(why)
  })

  it('throws at the end when a server could not say which sparks are in the group', async () => {
    const a = await start()
    const b = await start()
    const mute = await startServer({ redis: { url: shared.redis.url, namespace: shared.space } })
    const opened = await clients([a, b], (_data, reply) => {
      reply('here')
    })
    const lost = await openClient(mute.url, { half: true })
    await eventually(async () => (await a.metroplex.spark(lost.id)) === mute.address)
    await a.metroplex.join([...opened.map(({ id }) => id), lost.id], 'x')
    mute.pause()
    const got: ClientReply[] = []
    const error = await rejection(
      (async () => {
        for await (const reply of a.forward.requests({ group: 'x' }, 1, { timeout: 4000 })) got.push(reply)
      })()
    )
    mute.resume()
    assume((error as AggregateError).errors.map(({ address }: { address: string }) => address)).eql([mute.address])
    assume(idsOf(got)).eql(idsOf(opened))
    // By its id it can be named.
    await eventually(async () => (await all(a.forward.requests([lost.id], 1)))[0]?.error?.code === 'EREMOTE')
  })

  it('refuses wrong arguments with a sentence', async () => {
    const { forward } = await start()
    for (const bad of [
      '',
      null,
      7n,
      {},
      { user: 'a', group: 'b' },
      { users: 'a' },
      { user: '' },
      { group: [''] },
      ['']
    ])
      assume(await rejection(all(forward.requests(bad as never, 1)))).instanceOf(TypeError)
    for (const [enough, kind] of [
      [0, RangeError],
      [-1, RangeError],
      [1.5, RangeError],
      ['2', TypeError]
    ] as const) {
      const error = await rejection(all(forward.requests('x', 1, { enough: enough as never })))
      assume(error).instanceOf(kind)
      assume(error.message).matches(/`enough` must be a whole number of replies, from 1 to \d+; given: /)
    }
    assume(await rejection(all(forward.requests('x', 1, { to: 'y' } as never)))).instanceOf(TypeError)
    const circular: Record<string, unknown> = {}
    circular['self'] = circular
    assume(((await rejection(all(forward.requests('x', circular)))) as { code?: string }).code).equals('EMESSAGE')
  })
})
