import { fork } from 'node:child_process'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { assume } from '../support/assume'
import { openClient } from '../support/client'
import { using } from '../support/dispose'
import { killAtExit } from '../support/orphans'
import { reservePort } from '../support/ports'
import { deadline, elapsed, eventually } from '../support/wait'
import type { Result, Statistics } from '../../index'
import { LEASE, SLACK, type Ground } from './ground'
import { BRIEF, NO_REDIS, peerEnded } from './health'
import type { Row } from './row'
import type { ServerProcess } from '../support/server'

/** Deadline of the servers here, in ms: the most that we may add to what Primus takes. */
const TIMEOUT = 1000

/** How a process ends that ends by itself. */
const BY_ITSELF = { code: 0, signal: null }

/**
 * Open a connection to a server and say something, as it stands. All answers are read, and nothing is ever
 * answered to it.
 */
async function say(server: ServerProcess, lines: readonly string[]): Promise<Socket> {
  const socket = connect(server.port, '127.0.0.1')
  using(() => socket.destroy())
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  socket.write(`${lines.join('\r\n')}\r\n\r\n`)
  socket.resume()
  return socket
}

/** A message to a server whose end never comes. */
const unfinished = (server: ServerProcess): Promise<Socket> =>
  say(server, [
    'PUT /primus/omega/supreme HTTP/1.1',
    `Host: 127.0.0.1:${server.port}`,
    'Content-Length: 1000',
    `Authorization: Basic ${Buffer.from('omega:supreme').toString('base64')}`
  ])

/** A client which hears the end of its connection, and does not care. */
const rude = (server: ServerProcess): Promise<Socket> =>
  say(server, [
    'GET /primus/?_primuscb=rude HTTP/1.1',
    `Host: 127.0.0.1:${server.port}`,
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='
  ])

/** How long a destruction takes, in ms, and how long until the registry knows nothing of the server any more. */
async function left(
  ground: Ground,
  server: ServerProcess,
  destroying: Promise<unknown>
): Promise<{ gone: number; destroyed: number }> {
  const began = performance.now()
  const since = (): number => performance.now() - began
  const { address } = server
  const gone = eventually(
    async () =>
      (await ground.client.sismember(ground.key('servers'), address)) === 0 &&
      (await ground.existing(address, `${address}:lease`, `${address}:sparks`)) === 0
  ).then(since)
  const destroyed = destroying.then(since)
  return { gone: await gone, destroyed: await destroyed }
}

export const shutdown: readonly Row[] = [
  {
    id: 'F19',
    fault: 'a server is destroyed while a message to it is half sent',
    promise:
      'it leaves the registry as soon as its sparks are ended, is destroyed within the deadline, and the process ' +
      'exits by itself',
    measures: [
      { what: 'out of the registry after', unit: 'ms', atMost: SLACK },
      { what: 'destroyed after', unit: 'ms', atMost: TIMEOUT + SLACK }
    ],
    health: [peerEnded([0])],
    async provoke(ground) {
      const [a, b] = [await ground.start(), await ground.start()]
      await ground.crowd(b, 1000)
      await ground.settled(a, b)
      await a.seen('join')
      const life = await b.call('metroplex.id')
      await b.run(primus => {
        primus.server?.on('connection', () => {
          Object.assign(globalThis, { asked: true })
        })
      })
      await unfinished(b)
      await eventually(() => b.run(() => 'asked' in globalThis))
      const { gone, destroyed } = await left(ground, b, b.destroy())
      await a.seen('leave')
      assume(ground.told('leave', a)).eql([[b.address, 'shutdown', life]])
      assume(ground.told('reap', a)).eql([])
      assume(await b.stop()).eql(BY_ITSELF)
      await ground.settled(a)
      ground.sound(a, b)
      return [gone, destroyed]
    }
  },
  {
    id: 'F19',
    fault: 'a server is destroyed while it waits for a peer that does not answer',
    promise:
      'the message is reported as failed; the server leaves the registry at once, is destroyed within the ' +
      'deadline, and the process exits by itself',
    measures: [
      { what: 'out of the registry after', unit: 'ms', atMost: SLACK },
      { what: 'destroyed after', unit: 'ms', atMost: TIMEOUT + SLACK }
    ],
    health: [peerEnded()],
    async provoke(ground) {
      // Its lease outlasts the fault: it is on the list all the while.
      const mute = await ground.start({ metroplex: { lease: 20 * LEASE } })
      const b = await ground.start()
      await ground.settled(mute, b)
      await b.seen('state', { filter: state => state === 'ready' })
      // It has told the other one that it is there: the way is open, so that the message leaves.
      await eventually(async () => ((await b.call('metroplex.stats')) as Statistics).queued.messages === 0)
      mute.pause()
      const sending = b.call('forward', mute.address, 'x') as Promise<Result>
      await b.call('metroplex.stats')
      const { gone, destroyed } = await left(ground, b, b.destroy())
      const { ok, send, failed } = await sending
      assume({ ok, send, failed: failed?.map(({ address, maybe }) => [address, maybe]) }).eql({
        ok: false,
        send: 0,
        failed: [[mute.address, true]]
      })
      assume(await b.stop()).eql(BY_ITSELF)
      mute.resume()
      await ground.settled(mute)
      ground.sound(mute, b)
      return [gone, destroyed]
    }
  },
  ...(['killed', 'frozen'] as const).map((how): Row => ({
    id: 'F19',
    fault: `a server is destroyed while Redis is ${how}`,
    promise: 'destroyed within the deadline, and the process exits by itself',
    measures: [{ what: 'destroyed after', unit: 'ms', atMost: TIMEOUT + SLACK }],
    health: [{ reasons: NO_REDIS, unless: BRIEF }],
    async provoke(ground) {
      const a = await ground.start()
      await openClient(a.url)
      await ground.crowd(a, 1000)
      await ground.settled(a)
      if (how === 'killed') await ground.redis.kill()
      else ground.redis.pause()
      const { ms } = await elapsed(() => a.destroy())
      assume(await a.stop()).eql(BY_ITSELF)
      ground.sound(a)
      return [ms]
    }
  })),
  {
    id: 'F19',
    fault: 'a server is destroyed twice',
    promise:
      'both calls call back; the server stays registered until `timeout` has passed, then leaves at once; the ' +
      'process exits by itself',
    measures: [
      { what: 'out of the registry later than asked by', unit: 'ms', atMost: SLACK },
      { what: 'destroyed later than asked by', unit: 'ms', atMost: TIMEOUT + SLACK }
    ],
    health: [peerEnded([0])],
    async provoke(ground) {
      const [a, b] = [await ground.start(), await ground.start()]
      const client = await openClient(b.url, { options: { strategy: false } })
      await ground.settled(a, b)
      await a.seen('join')
      const timeout = 1000
      const leaving = left(ground, b, Promise.all([b.destroy({ timeout }), b.destroy({ timeout })]))
      assume(await a.call('forward.spark', client.id, 'still there')).eql({ ok: true, send: 1 })
      assume(await client.next()).equals('still there')
      const { gone, destroyed } = await leaving
      // Timers are said to come up to a millisecond early.
      assume(gone).is.above(timeout - 2)
      assume(await b.stop()).eql(BY_ITSELF)
      await ground.settled(a)
      await a.seen('leave')
      assume(ground.told('leave', a)).has.length(1)
      assume(ground.told('unregister', b)).eql([[b.address]])
      ground.sound(a, b)
      return [gone - timeout, destroyed - timeout]
    }
  },
  ...(['no address', 'an address of its own'] as const).map((what): Row => ({
    id: 'F19',
    fault: `a server with ${what} is destroyed before it listens`,
    promise: 'it calls back, nothing stays in the registry, and the process exits by itself',
    measures: [{ what: 'destroyed after', unit: 'ms', atMost: TIMEOUT + SLACK }],
    health: [],
    async provoke(ground) {
      const address = what === 'no address' ? '' : `http://127.0.0.1:${await reservePort()}`
      const child = fork(join(__dirname, 'unheard.js'), [ground.redis.url, ground.space, address])
      killAtExit(child)
      using(() => child.kill('SIGKILL'))
      const [exit, said] = [once(child, 'exit'), once(child, 'message')]
      const [{ registered, ms }] = (await deadline(said, 10_000, 'the end of destroy()')) as [
        { registered: string; ms: number }
      ]
      assume(registered).equals(address)
      child.disconnect()
      assume(await deadline(exit, 5000, 'the end of the process')).eql([0, null])
      await ground.settled()
      return [ms]
    }
  })),
  {
    id: 'F30',
    fault: 'a client does not answer the close handshake while its server is destroyed',
    promise: 'the server leaves the registry as soon as its sparks are ended; other servers are unaffected',
    measures: [{ what: 'out of the registry after', unit: 'ms', atMost: SLACK }],
    health: [peerEnded([0])],
    async provoke(ground) {
      const [a, b] = [await ground.start(), await ground.start()]
      const near = await openClient(a.url)
      const socket = await rude(b)
      await eventually(async () => (await b.sparks()).length === 1)
      await ground.settled(a, b)
      await a.seen('join')
      const done = { destroyed: false }
      const destroying = b.destroy().finally(() => {
        done.destroyed = true
      })
      const leaving = left(ground, b, destroying)
      await a.seen('leave')
      assume(await a.call('metroplex.servers', true)).eql([a.address])
      for (let i = 0; i < 10; i++) {
        assume(await a.call('forward.broadcast', i)).eql({ ok: true, send: 1, local: true })
        assume(await near.next()).equals(i)
      }
      // All that was while Primus still waited for that client.
      assume([done.destroyed, socket.closed]).eql([false, false])
      socket.destroy()
      const { gone } = await leaving
      assume(await b.stop()).eql(BY_ITSELF)
      await ground.settled(a)
      ground.sound(a, b)
      return [gone]
    }
  }
]
