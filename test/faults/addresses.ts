import { assume } from '../support/assume'
import { openClient } from '../support/client'
import { reservePort } from '../support/ports'
import type { ServerOptions } from '../support/server'
import { tls } from '../support/tls'
import { eventually } from '../support/wait'
import { SLACK, type Ground } from './ground'
import { BRIEF, LAPSED, MISLED, NO_REDIS, SLOW, TAKEN, either, peerEnded } from './health'
import type { Row } from './row'

/** A lease that no test waits for: a restart that registers sooner has been recognised, in ms. */
const LONG = 30_000

/** Has the child measure how long it takes from listening to its registration, in ms. */
const timed = (options: Record<string, unknown>): void => {
  options['plugin'] = {
    watch: {
      server: (primus: { server: NodeJS.EventEmitter; on(event: string, listener: () => void): void }) => {
        let began = Infinity
        primus.server.on('listening', () => {
          began = performance.now()
        })
        primus.on('register', () => {
          Object.assign(globalThis, { registering: performance.now() - began })
        })
      }
    }
  }
}

/**
 * Crashes a server and starts it again on its address, then starts another one that claims the same address.
 *
 * @returns how long the restarted server took to register, in ms
 */
async function restarted(
  ground: Ground,
  primus: Record<string, unknown>,
  more: Partial<ServerOptions> = {}
): Promise<number> {
  const { metroplex, ...rest } = primus as { metroplex?: object }
  const options = { ...rest, metroplex: { ...metroplex, lease: LONG } }
  const port = await reservePort()
  const crashed = await ground.start(options, { ...more, port })
  await ground.crowd(crashed, 100, 'left')
  await ground.settled(crashed)
  await crashed.kill()
  const server = await ground.start(options, { ...more, port, prepare: timed })
  assume(server.address).equals(crashed.address)
  const took = await server.run(() => (globalThis as unknown as { registering: number }).registering)

  const rival = await ground.start({ ...options, address: server.address }, { ...more, until: 'listening' })
  const [error] = (await rival.seen('error')) as [Error & { code: string }]
  assume(error.code).equals('EADDRESS')
  const peer = await ground.start(options, more)
  await server.run(primus => {
    const { metroplex } = primus as unknown as { metroplex: { method(name: string, fn: () => unknown): void } }
    metroplex.method('hello', () => 'there')
  })
  // Peers report `join` when the take-over is final, and route to the new life before that.
  await eventually(async () => ((await peer.call('metroplex.servers')) as string[]).includes(server.address))
  assume(await peer.call('metroplex.call', 'hello', [], { to: [server.address] })).eql([
    { address: server.address, ok: true, value: 'there' }
  ])
  // The probe has half a second, which a busy machine may need for a handshake.
  await eventually(
    async () => ((await server.call('metroplex.health')) as { warnings: string[] }).warnings.length === 0
  )
  ground.sound(server, rival, peer)
  return took
}

const promise =
  'as with the default: a restart registers within a second, a second process with the address reports `EADDRESS`, ' +
  'health has no warning, messages arrive'
const measures = [{ what: 'registered after', unit: 'ms', atMost: 1000 + SLACK }] as const

/** What health says of a restart: only the one that claims the address of another is not ok. */
const restartedHealth: Row['health'] = [
  { by: [2], reasons: TAKEN, stays: true },
  { by: [2], reasons: LAPSED, stays: true },
  { by: [2], reasons: NO_REDIS, unless: BRIEF },
  { warnings: SLOW, unless: BRIEF },
  peerEnded()
]

export const addresses: readonly Row[] = [
  {
    id: 'F41',
    fault: "a server with the pathname '/' crashes and is restarted on its address",
    promise,
    measures,
    health: restartedHealth,
    provoke: ground => restarted(ground, { pathname: '/' }).then(took => [took])
  },
  {
    id: 'F42',
    fault: 'a server that requires client certificates (mutual TLS) crashes and is restarted on its address',
    promise,
    measures,
    health: restartedHealth,
    provoke: async ground => {
      const own = { ...tls, ca: tls.cert }
      const primus = { metroplex: { tls: { ...own, servername: 'localhost' } } }
      return [await restarted(ground, primus, { secure: { ...own, requestCert: true, rejectUnauthorized: true } })]
    }
  },
  {
    id: 'F43',
    fault: 'the HTTP server is closed without `primus.destroy`, while peers have streams open to it',
    promise:
      '`close` calls back when the last spark has disconnected; the server leaves the registry and health says so; ' +
      'sparks are found and served until then',
    measures: [
      { what: 'called back after', unit: 'ms', atMost: 1000 + SLACK },
      { what: 'gone from every answer after', unit: 'ms', atMost: 1000 + SLACK }
    ],
    health: [
      { by: [0], reasons: /HTTP server has been closed/, stays: true },
      { by: [0], reasons: /is draining/, stays: true },
      { by: [0], reasons: LAPSED, stays: true },
      { by: [0], reasons: MISLED, unless: BRIEF },
      peerEnded([1, 2])
    ],
    async provoke(ground) {
      const [closed, ...peers] = [await ground.start(), await ground.start(), await ground.start()]
      const client = await openClient(closed.url)
      for (const peer of peers) {
        await eventually(async () => (await peer.call('metroplex.spark', client.id)) === closed.address)
        assume(await peer.call('forward.spark', client.id, 'open')).eql({ ok: true, send: 1 })
      }
      await closed.run(primus => {
        const ending = new Promise(resolve => primus.server?.close(resolve))
        Object.assign(globalThis, { ending })
      })
      for (const peer of peers) {
        await peer.seen('drain')
        assume(await peer.call('forward.spark', client.id, 'still here')).eql({ ok: true, send: 1 })
      }
      assume(await client.count(2 * peers.length)).has.length(2 * peers.length)
      const health = async (): Promise<{ state: string; reasons: string[] }> =>
        (await closed.call('metroplex.health')) as { state: string; reasons: string[] }
      assume((await health()).reasons.join()).includes('HTTP server has been closed')
      const began = performance.now()
      await client.close()
      await closed.run(() => (globalThis as unknown as { ending: Promise<void> }).ending)
      const ended = performance.now() - began
      for (const peer of peers) {
        await eventually(async () => !((await peer.call('metroplex.servers')) as string[]).includes(closed.address))
        assume((await peer.seen('leave')).slice(0, 2)).eql([closed.address, 'shutdown'])
      }
      const gone = performance.now() - began
      assume((await health()).state).equals('draining')
      await ground.settled(...peers)
      ground.sound(closed, ...peers)
      return [ended, gone]
    }
  },
  {
    id: 'F44',
    fault: 'the HTTP server is closed, and listens again on another port, while clients are connected',
    promise:
      'the server leaves the former address and is found at the new one, with the sparks that stayed and with new ones',
    measures: [{ what: 'found at the new address after', unit: 'ms', atMost: 2000 + SLACK }],
    health: [
      { by: [0], reasons: either(LAPSED, MISLED, /is draining|HTTP server has been closed/), unless: BRIEF },
      peerEnded([1])
    ],
    async provoke(ground) {
      const [moved, peer] = [await ground.start(), await ground.start()]
      const stays = await openClient(moved.url)
      await eventually(async () => (await peer.call('metroplex.spark', stays.id)) === moved.address)
      assume(await peer.call('forward.spark', stays.id, 'before')).eql({ ok: true, send: 1 })
      const former = moved.address
      const began = performance.now()
      const address = await moved.run(
        primus =>
          new Promise<string>(resolve => {
            const { server } = primus as unknown as { server: import('node:http').Server }
            server.close()
            server.listen(0, '127.0.0.1', () => {
              const { port } = server.address() as { port: number }
              resolve(`http://127.0.0.1:${port}`)
            })
          })
      )
      assume(address).does.not.equal(former)
      await eventually(async () => (await peer.call('metroplex.spark', stays.id)) === address)
      const found = performance.now() - began
      const comes = await openClient(address)
      await eventually(async () => (await peer.call('metroplex.spark', comes.id)) === address)
      for (const { id } of [stays, comes])
        assume(await peer.call('forward.spark', id, 'after')).eql({ ok: true, send: 1 })
      assume([await stays.count(2), await comes.next()]).eql([['before', 'after'], 'after'])
      assume(await peer.call('metroplex.servers')).eql([address])
      await eventually(async () => ((await moved.call('metroplex.health')) as { ok: boolean }).ok)
      await ground.settled(moved, peer)
      assume(await ground.existing(...['', ':lease', ':sparks'].map(end => `${former}${end}`))).equals(0)
      assume(ground.told('reap', moved, peer)).eql([])
      ground.sound(moved, peer)
      return [found]
    }
  }
]
