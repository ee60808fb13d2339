import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import { Server as NetServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Metroplex } from '../index'
import { assume } from './support/assume'
import { openClient } from './support/client'
import { using } from './support/dispose'
import { namespace } from './support/namespace'
import { createPrimus } from './support/primus'
import { startRedis, type RedisProcess } from './support/redis'
import { createRegistered, type Registered } from './support/registered'
import { deadline, eventually, once } from './support/wait'

/** What a server that has been closed says of itself. */
const CLOSED = 'The HTTP server has been closed: let it listen again, or destroy this Primus.'

/** Far below the 60 s for which an idle stream stays open, in ms. */
const SOON = 5000

describe('the HTTP server of a Primus', () => {
  let redis: RedisProcess
  let space: string

  beforeEach(async () => {
    redis = await startRedis()
    space = namespace()
  })

  const start = (options: Record<string, unknown> = {}): Promise<Registered> =>
    createRegistered({ redis: { url: redis.url, namespace: space }, primus: options })

  /** Two servers; the first has a stream open to the second. */
  const pair = async (options: Record<string, unknown> = {}): Promise<[from: Registered, to: Registered]> => {
    const [from, to] = [await start(options), await start(options)]
    await eventually(() => from.metroplex.stats().peers === 1 && to.metroplex.stats().peers === 1)
    to.metroplex.method('hello', () => 'there')
    assume(await from.metroplex.call('hello', [], { to: [to.address] })).eql([
      { address: to.address, ok: true, value: 'there' }
    ])
    return [from, to]
  }

  const close = ({ server }: { server: Server }): Promise<void> =>
    new Promise(resolve => {
      server.close(() => {
        resolve()
      })
    })

  const listen = async ({ server }: { server: Server }, port = 0): Promise<string> => {
    await new Promise<void>(resolve => {
      server.listen(port, '127.0.0.1', resolve)
    })
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  }

  it('closes although a peer has a stream open, and the server leaves the registry and says so', async () => {
    const [peer, closed] = await pair()
    const left = once(peer.metroplex, 'leave')
    await deadline(close(closed), SOON, 'the end of the HTTP server')
    assume((await left).slice(0, 2)).eql([closed.address, 'shutdown'])
    assume(await peer.metroplex.servers()).eql([])
    assume(closed.metroplex.address).equals('')
    const { ok, state, reasons } = await closed.metroplex.health()
    assume([ok, state]).eql([false, 'draining'])
    assume(reasons).includes(CLOSED)
  })

  it('closes soon although Redis is away', async () => {
    const [, closed] = await pair({ metroplex: { timeout: 10_000 } })
    redis.pause()
    await deadline(close(closed), SOON, 'the end of the HTTP server')
    redis.resume()
  })

  it('keeps the sparks that are connected when it closes: they are found until the last one has gone', async () => {
    const [peer, closed] = await pair()
    const client = await openClient(closed.url)
    await eventually(async () => (await peer.metroplex.spark(client.id)) === closed.address)
    const ended = close(closed)
    await once(peer.metroplex, 'drain')
    assume(await peer.forward.spark(client.id, 'still here')).eql({ ok: true, send: 1 })
    assume(await client.next()).equals('still here')
    assume((await closed.metroplex.health()).reasons).includes(CLOSED)
    await client.close()
    await deadline(ended, SOON, 'the end of the HTTP server')
    await eventually(async () => (await peer.metroplex.servers()).length === 0)
  })

  it('is followed to another port', async () => {
    const [peer, moved] = await pair()
    await close(moved)
    const address = await listen(moved)
    assume(address).does.not.equal(moved.address)
    assume(moved.metroplex.address).equals(address)
    await eventually(async () => (await peer.metroplex.servers()).join() === address)
    await peer.metroplex
      .call('hello', [], { to: [address] })
      .then(answers => assume(answers.map(({ ok }) => ok)).eql([true]))
    moved.metroplex.connect({ id: 'new', write: () => true, end: () => undefined })
    await eventually(async () => (await peer.metroplex.spark('new')) === address)
    await eventually(async () => (await moved.metroplex.health()).ok)
    assume((await moved.metroplex.health()).warnings).eql([])
    assume(await redis.client().exists(`${space}:${moved.address}`, `${space}:${moved.address}:lease`)).equals(0)
  })

  it('has its server leave the registry when it goes on to a unix socket, and come back with a port', async () => {
    const [peer, moved] = await pair()
    const folder = await mkdtemp(join(tmpdir(), 'metroplex-socket-'))
    using(() => rm(folder, { recursive: true, force: true }))
    const told = once(moved.metroplex, 'error')
    // In one turn, so that the server is never seen closed.
    moved.server.close()
    moved.server.listen(join(folder, 'socket'))
    assume(((await told)[0] as { code?: string }).code).equals('EADDRESS')
    await eventually(async () => (await peer.metroplex.servers()).length === 0)
    assume(moved.metroplex.address).equals('')
    assume((await moved.metroplex.health()).reasons).eql(['This server is not registered.'])
    moved.server.close()
    const address = await listen(moved)
    await eventually(async () => (await peer.metroplex.servers()).join() === address)
    assume((await moved.metroplex.health()).reasons).eql([])
  })

  it('is followed to another port with the sparks that are connected', async () => {
    const [peer, moved] = await pair()
    const client = await openClient(moved.url)
    await eventually(async () => (await peer.metroplex.spark(client.id)) === moved.address)
    moved.server.close()
    const address = await listen(moved)
    await eventually(async () => (await peer.metroplex.spark(client.id)) === address)
    assume(await peer.forward.spark(client.id, 'x')).eql({ ok: true, send: 1 })
    assume(await client.next()).equals('x')
    assume(await peer.metroplex.servers()).eql([address])
    const late = await openClient(address)
    await eventually(async () => (await peer.metroplex.spark(late.id)) === address)
    assume((await moved.metroplex.health()).reasons).eql([])
  })

  for (const transformer of ['websockets', 'sockjs']) {
    it(`takes clients again after it has closed without any, by ${transformer}`, async () => {
      const one = await start({ transformer })
      await close(one)
      const url = await listen(one)
      await once(one.metroplex, 'register')
      const client = await openClient(url, { transformer })
      await eventually(async () => (await one.metroplex.spark(client.id)) === one.metroplex.address)
      await client.close()
    })
  }

  it('is served again when it listens on the same port, as another life', async () => {
    const [peer, again] = await pair()
    const { id } = again.metroplex
    await close(again)
    assume(await listen(again, Number(new URL(again.address).port))).equals(again.address)
    await eventually(() => again.metroplex.id !== '')
    assume(again.metroplex.id).does.not.equal(id)
    await eventually(async () => (await peer.metroplex.servers()).join() === again.address)
    assume((await peer.metroplex.call('hello', [], { to: [again.address] })).map(({ ok }) => ok)).eql([true])
  })

  it('does not change an address that the application has chosen', async () => {
    for (const how of ['options', 'register'] as const) {
      const address = `http://${how}.example:1`
      const one = await start(how === 'options' ? { address } : {})
      if (how === 'register') await one.metroplex.register(address)
      await close(one)
      await listen(one)
      await once(one.metroplex, 'register')
      assume(one.metroplex.address).equals(address)
      await one.dispose()
    }
  })

  it('does not bring back a server that the application has had leave', async () => {
    const one = await start()
    await one.metroplex.unregister()
    await close(one)
    await listen(one)
    assume(one.metroplex.address).equals('')
    assume(await one.metroplex.servers(true)).eql([])
    assume((await one.metroplex.health()).reasons).eql(['This server is not registered.'])
  })

  it('goes on draining, when the application had begun that, until the application registers again', async () => {
    const one = await start()
    await one.metroplex.drain()
    await close(one)
    const address = await listen(one)
    assume(one.metroplex.stats().state).equals('draining')
    assume(await one.metroplex.register()).equals(address)
    assume(one.metroplex.stats().state).equals('ready')
  })

  it('is noticed to have closed also without a call of its own method, although a peer has a stream open', async () => {
    const [peer, one] = await pair({ metroplex: { lease: 2000 } })
    const left = once(peer.metroplex, 'leave')
    const ended = new Promise(resolve => NetServer.prototype.close.call(one.server, resolve))
    await deadline(ended, SOON, 'the end of the HTTP server')
    assume((await left).slice(0, 2)).eql([one.address, 'shutdown'])
    assume((await one.metroplex.health()).reasons).includes(CLOSED)
    const address = await listen(one)
    await once(one.metroplex, 'register')
    assume(one.metroplex.address).equals(address)
  })

  it('is left alone by a Primus that has been destroyed', async () => {
    const server = createServer()
    const former = server.close.bind(server)
    server.close = former
    const listeners = (): number => server.listenerCount('close') + server.listenerCount('listening')
    const before = listeners()
    const created = await createPrimus({ redis: { url: redis.url, namespace: space }, server })
    await (created.metroplex as unknown as Metroplex).ready()
    assume(server.close === former).false()
    await new Promise(resolve => {
      created.primus.destroy({ close: false }, resolve)
    })
    assume(server.close === former).true()
    assume(listeners()).equals(before)
  })

  it('serves the sparks of a private listener until they have gone', async () => {
    const [peer, closed] = await pair({ metroplex: { listen: { host: '127.0.0.1' } } })
    const client = await openClient(closed.url)
    await eventually(async () => (await peer.metroplex.spark(client.id)) === closed.address)
    const ended = close(closed)
    await once(peer.metroplex, 'drain')
    assume(await peer.forward.spark(client.id, 'x')).eql({ ok: true, send: 1 })
    await client.close()
    await deadline(ended, SOON, 'the end of the HTTP server')
    await eventually(async () => (await peer.metroplex.servers()).length === 0)
    const address = await listen(closed)
    await once(closed.metroplex, 'register')
    assume(closed.metroplex.address).equals(closed.address)
    assume(address).does.not.equal(closed.address)
  })
})
