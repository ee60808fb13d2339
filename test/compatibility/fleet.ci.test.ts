import { Redis } from 'ioredis'
import { assume } from '../support/assume'
import { openClient, type Client } from '../support/client'
import { namespace } from '../support/namespace'
import { reservePort } from '../support/ports'
import { anyRedis } from '../support/redis'
import { startServer, type ServerOptions, type ServerProcess } from '../support/server'
import { eventually } from '../support/wait'

type Version = '1.0.2' | '2'

/** Of all servers here, as both versions need them equal; small, so that deaths are noticed soon. */
const interval = 1000
const terms = { interval, latency: 200 }

describe('compatibility: a fleet of 1.0.2 and 2', () => {
  let redis: { url: string; stop(): Promise<void> }
  let client: Redis

  before(async () => {
    redis = await anyRedis()
    client = new Redis(redis.url)
  })
  after(async () => {
    client.disconnect()
    await redis.stop()
  })

  const start = (version: Version, space: string, options: Partial<ServerOptions> = {}): Promise<ServerProcess> =>
    startServer({
      redis: { url: redis.url, namespace: space },
      primus: terms,
      omega: true,
      ...(version === '1.0.2' && { metroplex: version }),
      ...options
    })

  /** What a server believes its peers are. */
  const peers = async (server: ServerProcess): Promise<string[]> =>
    ((await server.callback('metroplex.servers')) as string[]).sort()

  /** A connection that the registry knows, and that does not come back when its server dies. */
  const connect = async (server: ServerProcess, space: string): Promise<Client> => {
    const connection = await openClient(server.url, { options: { strategy: false } })
    await eventually(async () => (await client.hget(`${space}:sparks`, connection.id)) === server.address, {
      what: 'the entry of a spark'
    })
    return connection
  }

  describe('at work', () => {
    const space = namespace()
    const servers = new Map<Version, ServerProcess>()
    let old: ServerProcess
    let young: ServerProcess

    before(async () => {
      old = await start('1.0.2', space, { scope: 'suite' })
      young = await start('2', space, { scope: 'suite' })
      servers.set('1.0.2', old).set('2', young)
    })
    after(() => Promise.all([old.stop(), young.stop()]))

    const of = (version: Version): ServerProcess => servers.get(version) as ServerProcess

    it('sees itself whole from both sides', async () => {
      assume(await peers(old)).deep.equals([young.address])
      assume(await peers(young)).deep.equals([old.address])
      const all = [old.address, young.address].sort()
      assume(((await old.callback('metroplex.servers', true)) as string[]).sort()).deep.equals(all)
      assume(((await young.callback('metroplex.servers', true)) as string[]).sort()).deep.equals(all)
    })

    it('lists nothing but addresses where 1.0.2 looks for servers', async () => {
      assume((await client.smembers(`${space}:servers`)).sort()).deep.equals([old.address, young.address].sort())
    })

    for (const [from, to] of [
      ['1.0.2', '2'],
      ['2', '1.0.2']
    ] as const) {
      describe(`from ${from} to ${to}`, () => {
        let here: Client
        let there: Client

        beforeEach(async () => {
          here = await connect(of(from), space)
          there = await connect(of(to), space)
        })

        it('finds a spark', async () => {
          assume(await of(from).callback('metroplex.spark', there.id)).equals(of(to).address)
        })

        it('finds sparks, in the order of the ids', async () => {
          assume(await of(from).callback('metroplex.sparks', [there.id, 'unknown', here.id])).deep.equals([
            of(to).address,
            null,
            of(from).address
          ])
        })

        it('no longer finds a spark that disconnected', async () => {
          await there.close()
          await eventually(async () => (await of(from).callback('metroplex.spark', there.id)) === null)
        })

        it('broadcasts to all', async () => {
          const result = (await of(from).callback('forward.broadcast', { hello: 'Füße' })) as {
            ok: boolean
            send: number
          }
          assume(result).deep.equals({ ok: true, send: 2 })
          assume(await here.next()).deep.equals({ hello: 'Füße' })
          assume(await there.next()).deep.equals({ hello: 'Füße' })
        })

        it('forwards to a spark', async () => {
          const other = await connect(of(to), space)
          assume(await of(from).callback('forward.spark', there.id, 'hi')).deep.equals({ ok: true, send: 1 })
          assume(await there.next()).equals('hi')
          await of(from).callback('forward.spark', other.id, 'last')
          assume(await other.next()).equals('last')
        })

        it('forwards to sparks of both', async () => {
          const result = (await of(from).callback('forward.sparks', [here.id, there.id], ['hi'])) as {
            ok: boolean
            send: number
          }
          assume(result).deep.equals({ ok: true, send: 2 })
          assume(await here.next()).deep.equals(['hi'])
          assume(await there.next()).deep.equals(['hi'])
        })

        it('forwards to a server that it names', async () => {
          assume(await of(from).callback('forward', of(to).address, 'hi')).deep.equals({ ok: true, send: 2 })
          assume(await there.next()).equals('hi')
        })

        it('forwards to all of it with an empty string for the sparks', async () => {
          assume(await of(from).callback('forward', of(to).address, 'hi', '')).deep.equals({ ok: true, send: 2 })
          assume(await there.next()).equals('hi')
        })

        it('forwards to a spark of a server that it names', async () => {
          assume(await of(from).callback('forward', of(to).address, 'hi', there.id)).deep.equals({ ok: true, send: 1 })
          assume(await there.next()).equals('hi')
        })
      })
    }

    it('leaves some out from 2 to 1.0.2', async () => {
      const [one, two] = [await connect(old, space), await connect(old, space)]
      assume(await young.call('forward.except', [one.id], 'hi')).deep.equals({ ok: true, send: 1 })
      assume(await two.next()).equals('hi')
      await young.callback('forward.spark', one.id, 'last')
      assume(await one.next()).equals('last')
    })

    it('lets a live server of 2 live, turn after turn of 1.0.2', async () => {
      const connection = await connect(young, space)
      const entries = young.log.length
      const stamps = new Set<string | null>()
      await eventually(
        async () => {
          assume(await client.sismember(`${space}:servers`, young.address)).equals(1)
          return stamps.add(await client.get(`${space}:${old.address}`)).size > 4
        },
        { within: 10_000, what: 'four beats of 1.0.2' }
      )
      assume(young.log.slice(entries)).deep.equals([])
      assume(await old.callback('metroplex.spark', connection.id)).equals(young.address)
    })

    it('lets a live server of 1.0.2 live, sweep after sweep of 2', async () => {
      const connection = await connect(old, space)
      const turns = new Set<string | null>()
      await eventually(
        async () => {
          assume(await client.sismember(`${space}:servers`, old.address)).equals(1)
          return turns.add(await client.get(`${space}:${young.address}`)).size > 8
        },
        { within: 10_000, what: 'eight beats of 2' }
      )
      assume(young.log.filter(({ event }) => event === 'leave')).deep.equals([])
      assume(await young.callback('metroplex.spark', connection.id)).equals(old.address)
    })

    it('has had no accidents', () => {
      assume(young.crashes).deep.equals([])
      assume(old.crashes).deep.equals([])
    })
  })

  describe('coming and going', () => {
    let space: string
    beforeEach(() => {
      space = namespace()
    })

    for (const [stays, goes] of [
      ['1.0.2', '2'],
      ['2', '1.0.2']
    ] as const) {
      it(`tells ${stays} at once that ${goes} has shut down`, async () => {
        const [a, b] = [await start(stays, space), await start(goes, space)]
        const { id } = await connect(b, space)
        assume(await peers(a)).deep.equals([b.address])
        await b.destroy()
        assume(await peers(a)).deep.equals([])
        assume(await a.callback('metroplex.spark', id)).equals(null)
      })

      it(`makes ${goes} vanish from ${stays} after SIGKILL, with its sparks`, async () => {
        const [a, b] = [await start(stays, space), await start(goes, space)]
        const { id } = await connect(b, space)
        assume(await peers(a)).deep.equals([b.address])
        await b.kill()
        await eventually(async () => (await peers(a)).length === 0, {
          within: 6 * interval,
          what: 'the end of a killed server'
        })
        await eventually(async () => (await a.callback('metroplex.spark', id)) === null, { within: interval })
        const left = [`${space}:sparks`, `${space}:${b.address}`, `${space}:${b.address}:sparks`]
        // It is in no answer before all of its entries are removed.
        await eventually(async () => (await client.exists(...left)) === 0)
      })

      it(`survives a move from ${goes} to ${stays} on one port, after SIGKILL`, async () => {
        const port = await reservePort()
        const observer = await start(goes, space)
        const before = await start(goes, space, { port })
        const { id } = await connect(before, space)
        await before.kill()
        const after = await start(stays, space, { port })
        assume(after.address).equals(before.address)
        const connection = await connect(after, space)
        assume(await peers(observer)).deep.equals([after.address])
        assume(await observer.callback('metroplex.spark', connection.id)).equals(after.address)
        await eventually(async () => (await observer.callback('metroplex.spark', id)) === null)
        assume(await observer.callback('forward.broadcast', 'hi')).deep.equals({ ok: true, send: 1 })
      })

      it(`survives a move from ${goes} to ${stays} on one port, after a shutdown`, async () => {
        const port = await reservePort()
        const observer = await start(stays, space)
        const before = await start(goes, space, { port })
        await before.stop()
        const after = await start(stays, space, { port })
        const connection = await connect(after, space)
        assume(await peers(observer)).deep.equals([after.address])
        assume(await observer.callback('forward.spark', connection.id, 'hi')).deep.equals({ ok: true, send: 1 })
      })
    }

    it('tells 2 of a 1.0.2 that joins and leaves', async () => {
      const young = await start('2', space)
      const old = await start('1.0.2', space)
      await young.seen('join', { filter: address => address === old.address })
      await old.destroy()
      assume(await young.seen('leave', { filter: address => address === old.address })).deep.equals([
        old.address,
        'shutdown',
        ''
      ])
    })

    it('tells 2 of a 1.0.2 that died, and which sparks died with it', async () => {
      const young = await start('2', space)
      const old = await start('1.0.2', space)
      const { id } = await connect(old, space)
      await young.seen('join', { filter: address => address === old.address })
      await old.kill()
      assume(await young.seen('leave', { within: 6 * interval })).deep.equals([old.address, 'expired', ''])
      assume(await young.seen('reap')).deep.equals([old.address, [id]])
    })

    it('leaves nothing behind for ever of a 2 that 1.0.2 has reaped, once another 2 is there', async () => {
      const [old, dead] = [await start('1.0.2', space), await start('2', space)]
      await connect(dead, space)
      await dead.kill()
      await eventually(async () => (await peers(old)).length === 0, {
        within: 6 * interval,
        what: 'the end of a killed server'
      })
      await start('2', space)
      await eventually(async () => (await client.sismember(`${space}:lives`, dead.address)) === 0, {
        within: 6 * interval,
        what: 'the end of its life'
      })
      // The last word on a life may stay for a while.
      const keys = await client.keys(`${space}:${dead.address}*`)
      for (const key of keys) assume(await client.pttl(key)).is.above(0)
    })

    it('brings back a server of 2 that 1.0.2 took for dead while it stood still', async () => {
      const [old, young] = [await start('1.0.2', space), await start('2', space)]
      const { id } = await connect(young, space)
      young.pause()
      await eventually(async () => (await peers(old)).length === 0, {
        within: 6 * interval,
        what: 'the end of a server that stands still'
      })
      young.resume()
      await eventually(async () => (await peers(old))[0] === young.address, { what: 'the return of the server' })
      await eventually(async () => (await old.callback('metroplex.spark', id)) === young.address, {
        what: 'the return of its spark'
      })
      assume(await old.callback('forward.spark', id, 'hi')).deep.equals({ ok: true, send: 1 })
    })

    it('brings back a server of 2 that 1.0.2 unregistered', async () => {
      const [old, young] = [await start('1.0.2', space), await start('2', space)]
      const { id } = await connect(young, space)
      await old.callback('metroplex.unregister', young.address)
      await eventually(async () => (await peers(old))[0] === young.address, { what: 'the return of the server' })
      await eventually(async () => (await old.callback('metroplex.spark', id)) === young.address, {
        what: 'the return of its spark'
      })
    })
  })
})
