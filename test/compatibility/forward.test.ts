import type { Result } from '../../index'
import { assume } from '../support/assume'
import { openClient, type Client } from '../support/client'
import { namespace } from '../support/namespace'
import { reservePort } from '../support/ports'
import { anyRedis } from '../support/redis'
import { eventually } from '../support/wait'
import { answer, member, promised, value, type Answer, type Member } from './support'

describe('compatibility: forward, as omega-supreme has it', () => {
  let redis: { url: string; stop(): Promise<void> }
  let a: Member
  let b: Member
  /** One connection of each server. */
  let here: Client
  let there: Client

  before(async () => {
    redis = await anyRedis()
  })
  after(() => redis.stop())
  beforeEach(async () => {
    const space = namespace()
    a = await member(redis.url, space)
    b = await member(redis.url, space)
    here = await openClient(a.url)
    there = await openClient(b.url)
    await eventually(async () => (await a.redis.hlen(`${space}:sparks`)) === 2)
  })

  /** What a forward of 1.x called back. */
  const forward = (servers: string | string[], msg: unknown, sparks?: string | string[]): Promise<Answer<Result>> =>
    answer(fn => (sparks === undefined ? a.forward(servers, msg, fn) : a.forward(servers, msg, sparks, fn)))

  /** A message that comes last: what has not arrived before it never will. */
  const rest = async (client: Client, server: Member): Promise<unknown[]> => {
    server.primus.spark(client.id)?.write('last')
    await eventually(() => client.messages.at(-1) === 'last')
    return client.messages.slice(0, -1)
  }

  describe('forward(servers, msg)', () => {
    it('reaches the sparks of a server, and our own', async () => {
      const { error, value: result } = await forward(b.address, 'hi')
      assume(error).is.falsy()
      assume(promised(result)).deep.equals({ ok: true, send: 2 })
      assume(await here.next()).equals('hi')
      assume(await there.next()).equals('hi')
    })

    it('takes an array of servers', async () => {
      assume(promised((await forward([b.address], 'hi')).value)).deep.equals({ ok: true, send: 2 })
      assume(await there.next()).equals('hi')
    })

    for (const [what, none] of [
      ['an empty array', []],
      ['an empty string', ''],
      ['null', null],
      ['an array of nothing', [null, '']]
    ] as const) {
      it(`is local alone for ${what}`, async () => {
        const { error, value: result } = await forward(none as unknown as string, 'hi')
        assume(error).is.falsy()
        assume(promised(result)).deep.equals({ ok: true, send: 1, local: true })
        assume(await rest(there, b)).deep.equals([])
      })
    }

    it('returns primus', async () => {
      assume((await forward(b.address, 'hi')).returned).equals(a.primus)
    })

    it('writes to our own sparks before it returns', () => {
      const spark = a.primus.spark(here.id) as object
      const written: unknown[] = []
      Object.defineProperty(spark, 'write', { value: (msg: unknown) => written.push(msg) > 0 })
      a.forward(b.address, 'hi', () => undefined)
      assume(written).deep.equals(['hi'])
    })

    it('writes to our own sparks although a server cannot be reached, and tells of it', async () => {
      const { error, value: result } = await forward(`http://127.0.0.1:${await reservePort()}`, 'hi')
      assume(error).is.instanceOf(Error)
      assume(result?.send).equals(1)
      assume(await here.next()).equals('hi')
    })

    it('reaches the servers that can be reached although another cannot', async () => {
      const { error } = await forward([`http://127.0.0.1:${await reservePort()}`, b.address], 'hi')
      assume(error).is.instanceOf(Error)
      assume(await there.next()).equals('hi')
    })

    for (const [what, sparks] of [
      ['an empty string', ''],
      ['null', null],
      ['undefined', undefined]
    ] as const) {
      it(`means all with ${what} for the sparks`, async () => {
        const result = await value<Result>(fn => a.forward(b.address, 'hi', sparks, fn))
        assume(promised(result)).deep.equals({ ok: true, send: 2 })
      })
    }

    it('writes to our own sparks at every turn of a loop over servers(true)', async () => {
      const servers = await value<string[]>(fn => a.metroplex.servers(true, fn))
      await Promise.all(servers.map(server => forward(server, 'hi')))
      assume(await rest(there, b)).deep.equals(['hi'])
      assume(await rest(here, a)).deep.equals(['hi', 'hi'])
    })

    it('needs no callback', async () => {
      const returned: unknown = a.forward(b.address, 'hi')
      assume(returned).is.truthy()
      assume(await there.next()).equals('hi')
    })
  })

  describe('forward(servers, msg, sparks)', () => {
    it('reaches a spark on a server, and no other', async () => {
      const other = await openClient(b.url)
      assume(promised((await forward(b.address, 'hi', there.id)).value)).deep.equals({ ok: true, send: 1 })
      assume(await there.next()).equals('hi')
      assume(await rest(other, b)).deep.equals([])
      assume(await rest(here, a)).deep.equals([])
    })

    it('reaches several, ours among them', async () => {
      const other = await openClient(b.url)
      assume(promised((await forward(b.address, 'hi', [here.id, there.id])).value)).deep.equals({ ok: true, send: 2 })
      assume(await here.next()).equals('hi')
      assume(await there.next()).equals('hi')
      assume(await rest(other, b)).deep.equals([])
    })

    it('asks no server for a spark of our own', async () => {
      const { error, value: result } = await forward(`http://127.0.0.1:${await reservePort()}`, 'hi', here.id)
      assume(error).is.falsy()
      assume(promised(result)).deep.equals({ ok: true, send: 1, local: true })
    })

    it('asks no server when all sparks are our own', async () => {
      const { error, value: result } = await forward(`http://127.0.0.1:${await reservePort()}`, 'hi', [here.id])
      assume(error).is.falsy()
      assume(promised(result)).deep.equals({ ok: true, send: 1, local: true })
    })

    it('is no error when a server does not have the spark', async () => {
      const { error, value: result } = await forward(b.address, 'hi', 'unknown')
      assume(error).is.falsy()
      assume(result?.send).equals(0)
    })

    it('is no error when a server does not have the sparks', async () => {
      const { error, value: result } = await forward(b.address, 'hi', ['unknown', 'unknown too'])
      assume(error).is.falsy()
      assume(result?.send).equals(0)
    })

    it('finds a spark when every server is asked in turn', async () => {
      const c = await member(redis.url, a.metroplex.namespace.slice(0, -1))
      const results = await Promise.all([b.address, c.address].map(address => forward(address, 'hi', there.id)))
      assume(results.map(({ error }) => error ?? null)).deep.equals([null, null])
      assume(results.map(({ value: result }) => result?.send)).deep.equals([1, 0])
    })

    for (const [what, sparks] of [
      ['spark', 'unknown'],
      ['sparks', ['unknown']]
    ] as const) {
      it(`has an error without servers for ${what} of another server`, async () => {
        const { error, value: result } = await forward([], 'hi', sparks as string | string[])
        assume(error?.message).equals('No servers provided')
        assume(promised(result)).deep.equals({ ok: false, send: 0, local: false })
      })
    }

    it('has an error without servers for sparks of which some are ours', async () => {
      const { error, value: result } = await forward([], 'hi', [here.id, 'unknown'])
      assume(error?.message).equals('No servers provided')
      assume(promised(result)).deep.equals({ ok: false, send: 1, local: false })
    })
  })

  describe('forward.broadcast', () => {
    it('reaches every spark of the cluster', async () => {
      const result = await value<Result>(fn => a.forward.broadcast('hi', fn))
      assume(promised(result)).deep.equals({ ok: true, send: 2 })
      assume(await here.next()).equals('hi')
      assume(await there.next()).equals('hi')
    })

    it('is local for a server alone', async () => {
      const alone = await member(redis.url, namespace())
      await openClient(alone.url)
      assume(promised(await value<Result>(fn => alone.forward.broadcast('hi', fn)))).deep.equals({
        ok: true,
        send: 1,
        local: true
      })
    })

    it('reaches each spark once', async () => {
      await value<Result>(fn => b.forward.broadcast('hi', fn))
      assume(await rest(here, a)).deep.equals(['hi'])
      assume(await rest(there, b)).deep.equals(['hi'])
    })

    for (const [what, msg] of [
      ['an object', { emit: ['event', 1, { deep: [null, true] }] }],
      ['an array', [1, 'two']],
      ['a number', 42],
      ['letters of all the world', 'Füße 日本 🚀 \u2028'],
      ['a long text', 'x'.repeat(200_000)]
    ] as const) {
      it(`carries ${what} unchanged`, async () => {
        await value<Result>(fn => a.forward.broadcast(msg, fn))
        assume(await there.next()).deep.equals(msg)
        assume(await here.next()).deep.equals(msg)
      })
    }
  })

  describe('forward.sparks', () => {
    it('reaches the sparks wherever they are, and no others', async () => {
      const other = await openClient(b.url)
      const { ok, send } = await value<Result>(fn => a.forward.sparks([there.id, here.id], 'hi', fn))
      assume({ ok, send }).deep.equals({ ok: true, send: 2 })
      assume(await here.next()).equals('hi')
      assume(await there.next()).equals('hi')
      assume(await rest(other, b)).deep.equals([])
    })

    it('accepts ids that no server holds', async () => {
      const { error, value: result } = await answer<Result>(fn =>
        a.forward.sparks(['unknown', 'unknown too'], 'hi', fn)
      )
      assume(error).is.falsy()
      assume(promised(result)).deep.equals({ ok: true, send: 0 })
    })

    it('reaches present sparks although others are missing', async () => {
      const { ok, send } = await value<Result>(fn => a.forward.sparks(['unknown', there.id], 'hi', fn))
      assume({ ok, send }).deep.equals({ ok: true, send: 1 })
    })

    it('is fine with no ids at all', async () => {
      const { ok, send } = await value<Result>(fn => a.forward.sparks([], 'hi', fn))
      assume({ ok, send }).deep.equals({ ok: true, send: 0 })
      assume(await rest(there, b)).deep.equals([])
    })

    it('takes fifty thousand ids at a time', async () => {
      const ids = Array.from({ length: 50_000 }, (_, i) => `unknown-${i}`)
      ids[49_999] = there.id
      const { ok, send } = await value<Result>(fn => a.forward.sparks(ids, 'hi', fn))
      assume({ ok, send }).deep.equals({ ok: true, send: 1 })
    })
  })

  describe('forward.spark', () => {
    it('reaches a spark of another server, and no other', async () => {
      const other = await openClient(b.url)
      assume(promised(await value<Result>(fn => a.forward.spark(there.id, 'hi', fn)))).deep.equals({
        ok: true,
        send: 1
      })
      assume(await there.next()).equals('hi')
      assume(await rest(other, b)).deep.equals([])
    })

    it('reaches a spark of our own, locally', async () => {
      assume(promised(await value<Result>(fn => a.forward.spark(here.id, 'hi', fn)))).deep.equals({
        ok: true,
        send: 1,
        local: true
      })
      assume(await here.next()).equals('hi')
    })

    it('has an error for an unknown id, and a result beside it', async () => {
      const { error, value: result } = await answer<Result>(fn => a.forward.spark('unknown', 'hi', fn))
      assume(error).is.instanceOf(Error)
      assume(error?.message).equals('No servers provided')
      assume(promised(result)).deep.equals({ ok: false, send: 0, local: false })
    })
  })
})
