import { once } from 'node:events'
import { request, type IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { Drained } from '../index'
import { assume } from './support/assume'
import { openClient, type Client } from './support/client'
import { using } from './support/dispose'
import { namespace } from './support/namespace'
import { startRedis, type RedisProcess } from './support/redis'
import { rejection } from './support/rejection'
import { startServer, stopAll, type ServerProcess } from './support/server'
import { eventually } from './support/wait'

const QUICK = { interval: 3000, latency: 300, metroplex: { lease: 1500, timeout: 1000 } }

/** A client that has to go stays away. */
const ONCE = { strategy: false }

describe('drain', () => {
  let redis: RedisProcess
  /** WebSockets, SockJS, and WebSockets with omega-supreme. */
  let a: ServerProcess
  let b: ServerProcess
  let c: ServerProcess

  before(async function () {
    this.timeout(120_000)
    redis = await startRedis({ scope: 'suite' })
    const space = namespace()
    const start = (transformer: string, omega = false): Promise<ServerProcess> =>
      startServer({
        redis: { url: redis.url, namespace: space },
        omega,
        primus: { ...QUICK, transformer, password: 'of this test alone' },
        scope: 'suite'
      })
    a = await start('websockets')
    b = await start('sockjs')
    c = await start('websockets', true)
    for (const server of [a, b, c]) {
      await server.run(primus => {
        const went: number[] = []
        Object.assign(globalThis, { went })
        primus.on('disconnection', () => {
          went.push(performance.now())
        })
      })
    }
  })

  after(async () => {
    await stopAll()
    await redis.stop()
  })

  /** It takes sparks again, and all servers know. */
  afterEach(async () => {
    for (const server of [a, b, c]) await server.call('metroplex.register')
    await eventually(
      async () =>
        (await Promise.all([a, b, c].map(server => server.call('metroplex.servers', true)))).every(
          list => (list as string[]).length === 3
        ),
      {
        what: 'three servers'
      }
    )
    for (const server of [a, b, c]) assume(server.crashes).eql([])
  })

  const drain = async (server: ServerProcess, options?: object): Promise<Drained> =>
    (await server.call('metroplex.drain', ...(options === undefined ? [] : [options]))) as Drained

  const crowd = async (server: ServerProcess, count: number, options: object = ONCE): Promise<Client[]> =>
    Promise.all(
      Array.from({ length: count }, () =>
        openClient(server.url, { options: { ...options }, transformer: server === b ? 'sockjs' : 'websockets' })
      )
    )

  const state = (server: ServerProcess): Promise<unknown> =>
    server.call('metroplex.stats').then(stats => (stats as { state: string }).state)

  /** The most that went in any second, since it was asked last. */
  const most = async (server: ServerProcess): Promise<number> => {
    const went = await server.run(() => (globalThis as unknown as { went: number[] }).went.splice(0))
    return Math.max(0, ...went.map((time, at) => went.slice(at).filter(other => other - time <= 1000).length))
  }

  it('lets sparks go at its rate, each found and served until it has gone, and leaves', async () => {
    const clients = await crowd(a, 30)
    const left = new Set(clients.map(({ id }) => id))
    await most(a)
    const drained = drain(a, { rate: 20 })
    let heard = 0
    while (left.size > 0) {
      const id = [...left][heard % left.size] ?? ''
      const { ok, missing } = (await b.call('forward.spark', id, ++heard)) as { ok: boolean; missing?: string[] }
      const client = clients.find(one => one.id === id)
      if (ok) await eventually(() => client?.messages.includes(heard), { what: 'a message that was sent' })
      else {
        assume(missing).eql([id])
        assume(await a.sparks()).not.includes(id)
        left.delete(id)
      }
    }
    assume(await drained).eql({ moved: 30, left: 0 })
    assume(heard).is.above(10)
    const burst = await most(a)
    assume(burst).is.above(5)
    assume(burst).is.below(21)
    assume(a.log.at(-1)?.event).equals('unregister')
    await b.seen('leave', { filter: (address, why) => address === a.address && why === 'shutdown' })
  })

  it('notifies all servers that it begins', async () => {
    const life = await a.call('metroplex.id')
    const since = [a, b, c].map(server => server.log.length)
    await drain(a)
    for (const [at, server] of [a, b, c].entries())
      assume(await server.seen('drain', { since: since[at] ?? 0 })).eql([a.address, life])
    assume(a.log.slice(since[0]).map(({ event, args }) => (event === 'state' ? args[0] : event))).eql([
      'draining',
      'drain',
      'unregister'
    ])
  })

  it('says so in its state and its health', async () => {
    const [client] = await crowd(a, 1)
    assume(client?.id).is.a('string')
    await drain(a, { timeout: 0 })
    assume(await state(a)).equals('draining')
    assume(await a.call('metroplex.health')).eql({
      ok: false,
      state: 'draining',
      reasons: ['This server is draining: it takes no new sparks.'],
      warnings: []
    })
  })

  it('tells clients to come back, at random moments, and not to itself', async () => {
    const clients = await crowd(a, 5, { reconnect: { min: 50, max: 100, retries: 1000 } })
    const scheduled = clients.map(
      client =>
        new Promise(resolve => {
          client.socket.on('reconnect scheduled', resolve)
        })
    )
    const opened = clients.map(
      client =>
        new Promise(resolve => {
          client.socket.on('open', resolve)
        })
    )
    assume(await drain(a, { rate: 1000 })).eql({ moved: 5, left: 0 })
    await Promise.all(scheduled)
    assume(await a.sparks()).eql([])
    await a.call('metroplex.register')
    await Promise.all(opened)
    await eventually(async () => (await a.sparks()).length === 5, { what: 'all clients back' })
  })

  describe('refuses', () => {
    it('upgrades, in words that a client and a balancer understand', async () => {
      await drain(a, { timeout: 0 })
      const answer = await upgrade(a, '/primus/?_primuscb=1')
      assume(answer.status).equals(503)
      assume(answer.headers['retry-after']).equals('1')
      assume(answer.headers.connection).equals('close')
      assume((JSON.parse(answer.body) as { code: string }).code).equals('EDRAINING')
      const error = await rejection(openClient(a.url, { options: ONCE }))
      assume(error.message).includes('503')
    })

    it('what begins a session, and nothing else', async () => {
      await drain(b, { timeout: 0 })
      const info = await asked(b, 'GET', '/primus/info')
      assume(info.status).equals(503)
      assume(info.headers['retry-after']).equals('1')
      assume(info.headers.connection).equals('close')
      const { code, reason } = JSON.parse(info.body) as { code: string; reason: string }
      assume(code).equals('EDRAINING')
      assume(reason).includes('draining')
      assume((await asked(b, 'POST', '/primus/1/new/xhr', {}, 'which is never read')).status).equals(503)
      assume((await upgrade(b, '/primus/1/new/websocket')).status).equals(503)
      for (const path of ['/primus/primus.js', '/primus/spec', '/primus'])
        assume((await asked(b, 'GET', path)).status).equals(200)
    })

    it('no request that begins no spark: peers, and senders of 1.x', async () => {
      await crowd(c, 1)
      await drain(c, { timeout: 0 })
      assume(await a.call('forward.broadcast', 'from a peer')).eql({ ok: true, send: 1 })
      const authorization = `Basic ${Buffer.from('omega:of this test alone').toString('base64')}`
      const { body } = await asked(
        c,
        'PUT',
        '/primus/omega/supreme',
        { authorization },
        JSON.stringify({ msg: 'from 1.x' })
      )
      assume(JSON.parse(body)).eql({ ok: true, send: 1 })
    })

    it('no request of a session that is there', async () => {
      const polling = { ...ONCE, transport: { transports: ['xhr-polling'] } }
      const [client] = (await crowd(b, 1, polling)) as [Client]
      assume(await drain(b, { timeout: 0 })).eql({ moved: 0, left: 1 })
      for (const n of [1, 2, 3]) {
        assume(await a.call('forward.spark', client.id, n)).eql({ ok: true, send: 1 })
        assume(await client.next()).equals(n)
        assume(await client.identify()).equals(client.id)
      }
      const ended = new Promise(resolve => {
        client.socket.on('end', resolve)
      })
      assume(await drain(b)).eql({ moved: 1, left: 0 })
      await ended
    })

    it('a spark that slips in, once its listeners have seen it', async () => {
      await a.run(primus => {
        const told: string[] = []
        Object.assign(globalThis, { told })
        primus.on('connection', () => {
          told.push('connection')
        })
        primus.on('disconnection', () => {
          told.push('disconnection')
        })
        const layers = primus as unknown as {
          use(name: string, fn: (req: object, res: object, next: () => void) => void): void
        }
        layers.use('slow', (_req, _res, next) => {
          told.push('asked')
          void Reflect.set(globalThis, 'next', next)
        })
      })
      using(() =>
        a.run(primus => {
          ;(primus as unknown as { remove(name: string): void }).remove('slow')
        })
      )
      const told = (): Promise<string[]> => a.run(() => Reflect.get(globalThis, 'told') as string[])
      const late = upgrade(a, '/primus')
      await eventually(async () => (await told()).length === 1, { what: 'a request that is under way' })
      assume(await drain(a)).eql({ moved: 0, left: 0 })
      await a.run(() => {
        ;(Reflect.get(globalThis, 'next') as () => void)()
      })
      assume((await late).status).equals(101)
      await eventually(async () => (await told()).length === 3, { what: 'the end of a spark that slipped in' })
      assume(await told()).eql(['asked', 'connection', 'disconnection'])
      assume(await a.sparks()).eql([])
    })
  })

  describe('at its timeout', () => {
    it('reports how many are left, which are served and found until the next drain', async () => {
      const clients = await crowd(a, 6)
      const { moved, left } = await drain(a, { timeout: 800, rate: 4 })
      assume(moved).is.above(0)
      assume(left).equals(6 - moved)
      const here = await a.sparks()
      assume(here.length).equals(left)
      assume(await b.call('metroplex.sparks', here)).eql(here.map(() => a.address))
      assume(await b.call('forward.sparks', here, 'still')).eql({ ok: true, send: left })
      assume(await b.call('metroplex.servers')).includes(a.address)
      assume(await state(a)).equals('draining')
      assume(await drain(a, { rate: 1000 })).eql({ moved: 6, left: 0 })
      assume(clients.length).equals(6)
    })

    it('is done, too, when the last ones left by themselves', async () => {
      const clients = await crowd(a, 2)
      const drained = drain(a, { rate: 0.001 })
      await a.seen('drain', { since: a.log.length - 2 })
      for (const client of clients) await client.close()
      assume(await drained).eql({ moved: 2, left: 0 })
    })

    it('uses the last options, and resolves for all callers', async () => {
      await crowd(a, 3)
      const slow = drain(a, { rate: 0.001 })
      const quick = drain(a, { rate: 1000 })
      assume(await Promise.all([slow, quick])).eql([
        { moved: 3, left: 0 },
        { moved: 3, left: 0 }
      ])
      await a.call('metroplex.register')
      await crowd(a, 3)
      const patient = drain(a, { rate: 0.001 })
      const impatient = drain(a, { timeout: 0, rate: 0.001 })
      assume(await Promise.all([patient, impatient])).eql([
        { moved: 0, left: 3 },
        { moved: 0, left: 3 }
      ])
    })
  })

  describe('is over', () => {
    it('when the server is registered again, and takes sparks again', async () => {
      await drain(a)
      assume(await b.call('metroplex.servers')).not.includes(a.address)
      const since = a.log.length
      assume(await a.call('metroplex.register')).equals(a.address)
      assume(await a.seen('state', { since })).eql(['ready'])
      assume(await a.call('metroplex.health')).eql({ ok: true, state: 'ready', reasons: [], warnings: [] })
      const [client] = (await crowd(a, 1)) as [Client]
      await eventually(async () => (await b.call('metroplex.spark', client.id)) === a.address, {
        what: 'a spark that can be found'
      })
    })

    it('when it is registered meanwhile: callers get what was done, and present sparks stay', async () => {
      await crowd(b, 3)
      const drained = drain(b, { rate: 0.001 })
      await b.seen('drain', { since: b.log.length - 2 })
      await b.call('metroplex.register')
      assume(await drained).eql({ moved: 0, left: 3 })
      assume(await state(b)).equals('ready')
      assume((await asked(b, 'GET', '/primus/info')).status).equals(200)
    })
  })

  it('may be done twice, and without a spark', async () => {
    // Clients of the test before may still come back.
    await eventually(async () => (await a.run(primus => primus.connected)) === 0)
    assume(await drain(a)).eql({ moved: 0, left: 0 })
    assume(await drain(a)).eql({ moved: 0, left: 0 })
    assume(await a.callback('metroplex.drain')).eql({ moved: 0, left: 0 })
    assume(await a.callback('metroplex.drain', { rate: 5 })).eql({ moved: 0, left: 0 })
  })
})

/** What a server has answered. */
interface Answered {
  status: number | undefined
  headers: IncomingMessage['headers']
  body: string
}

/** What a server answers to a request, on a connection of its own. */
async function asked(
  { url }: ServerProcess,
  method: string,
  path: string,
  headers: Record<string, string> = {},
  body = ''
): Promise<Answered> {
  const asking = request(`${url}${path}`, { method, headers, agent: false })
  asking.end(body)
  const [answer, socket] = (await Promise.race([once(asking, 'response'), once(asking, 'upgrade')])) as [
    IncomingMessage,
    Socket?
  ]
  socket?.destroy()
  let text = ''
  for await (const piece of answer) text += String(piece)
  return { status: answer.statusCode, headers: answer.headers, body: text }
}

/** What it answers who asks it for a WebSocket. */
function upgrade(server: ServerProcess, path: string): Promise<Answered> {
  return asked(server, 'GET', path, {
    connection: 'Upgrade',
    upgrade: 'websocket',
    'sec-websocket-version': '13',
    'sec-websocket-key': Buffer.alloc(16).toString('base64')
  })
}
