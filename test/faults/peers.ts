import type { Result } from '../../index'
import { assume } from '../support/assume'
import { openClient } from '../support/client'
import { reservePort } from '../support/ports'
import { startProxy } from '../support/proxy'
import type { ServerProcess } from '../support/server'
import { eventually } from '../support/wait'
import { SLACK, type Ground } from './ground'
import { BRIEF, MISLED, SLOW, UNNOTICED, UNREACHED, either } from './health'
import { each, pair } from './passage'
import type { Row } from './row'

/** How long an operation may take here, in ms. */
const TIMEOUT = 1000
/** A server that is paused here is not taken for dead, so that its peers notice it. */
const lasting = { interval: 60_000, metroplex: { timeout: TIMEOUT, lease: 30_000 } }

/** How many peers a broadcast is for. */
const PEERS = 10

/** What keeps a server's process alive: sockets, timers, and so on. */
function held(server: ServerProcess): Promise<number> {
  return server.run(() => process.getActiveResourcesInfo().filter(type => type !== 'Immediate').length)
}

/** Forward to sparks, one after the other, until told to stop; the longest that one took, in ms. */
async function watch(server: ServerProcess, id: string): Promise<() => Promise<number>> {
  await server.run((primus, id: string) => {
    const { forward } = primus as unknown as { forward: { spark(id: string, msg: unknown): Promise<{ send: number }> } }
    const watched = { going: true, longest: 0, done: Promise.resolve() }
    const go = async (): Promise<void> => {
      while (watched.going) {
        const began = performance.now()
        const { send } = await forward.spark(id, 'others')
        if (send !== 1) throw new Error('one that has nothing to do with it was not reached')
        watched.longest = Math.max(watched.longest, performance.now() - began)
        await new Promise(resolve => setTimeout(resolve, 5))
      }
    }
    watched.done = go()
    Object.assign(globalThis, { watched })
  }, id)
  return () =>
    server.run(async () => {
      const { watched } = globalThis as unknown as { watched: { going: boolean; longest: number; done: Promise<void> } }
      watched.going = false
      await watched.done
      return watched.longest
    })
}

const plainly = ({ ok, send, failed }: Result): object => ({
  ok,
  send,
  failed: failed?.map(({ address, code }) => ({ address, code }))
})

export const peers: readonly Row[] = [
  ...each((transport): Row => ({
    id: 'F7',
    fault: 'a peer accepts connections and never answers',
    promise:
      'that peer fails with `EDEADLINE` and `maybe: true` at the deadline; other peers are unaffected; nothing leaks',
    measures: [
      { what: 'failed after', unit: 'ms', atMost: TIMEOUT + SLACK },
      { what: 'others served within', unit: 'ms', atMost: SLACK }
    ],
    health: [
      { by: [0], warnings: UNREACHED },
      { by: [1, 2], warnings: either(UNREACHED, SLOW), unless: UNNOTICED }
    ],
    async provoke(ground) {
      const options = { ...lasting, metroplex: { ...lasting.metroplex, transport } }
      const [a, b, c] = await Promise.all([0, 1, 2].map(() => ground.start(options, { omega: false })))
      if (a === undefined || b === undefined || c === undefined) throw new Error('there are three')
      const [mute, other] = [await openClient(b.url), await openClient(c.url)]
      await ground.settled(a, b, c)
      for (const { id } of [mute, other])
        assume(((await a.call('forward.spark', id, 'first')) as Result).send).equals(1)
      const before = await held(a)
      const stop = await watch(a, other.id)
      b.pause()
      let took = 0
      try {
        for (let i = 0; i < 2; i++) {
          const began = performance.now()
          const result = (await a.call('forward.spark', mute.id, `mute ${i}`)) as Result
          took = Math.max(took, performance.now() - began)
          assume(plainly(result)).eql({ ok: false, send: 0, failed: [{ address: b.address, code: 'EDEADLINE' }] })
          // The second one may not have got further than the hello.
          if (i === 0) assume(result.failed?.[0]?.maybe).true()
        }
        const longest = await stop()
        await eventually(async () => (await held(a)) <= before + 1, {
          what: 'a process that holds no more than before'
        })
        await ground.untilSaid(a, UNREACHED)
        return [took, longest]
      } finally {
        b.resume()
        await eventually(async () => ((await a.call('forward.spark', mute.id, 'again')) as Result).send === 1, {
          within: 10_000,
          every: 100
        })
        await eventually(() => mute.messages.includes('again'))
        const messages = mute.messages.filter(message => message !== 'again')
        // What was on its way may still come, and then once.
        assume(new Set(messages).size).equals(messages.length)
        ground.unharmed(a, b, c)
      }
    }
  })),
  {
    id: 'F7',
    fault: 'a proxy before a peer accepts connections and passes nothing on',
    promise: 'fails with `EDEADLINE` at the deadline; nothing leaks',
    measures: [{ what: 'failed after', unit: 'ms', atMost: TIMEOUT + SLACK }],
    health: [
      { by: [0], warnings: UNREACHED },
      { by: [1], warnings: SLOW },
      // The proxy resets the connections at the end.
      { by: [1], reasons: MISLED, unless: BRIEF }
    ],
    async provoke(ground) {
      const { a, b, client } = await pair(ground, 'http', lasting)
      const before = await held(a.server)
      // Connections are accepted, and nothing passes.
      b.proxy.freeze()
      const began = performance.now()
      const results = await Promise.all(
        Array.from({ length: 100 }, (_, i) => a.server.call('forward.spark', client.id, i) as Promise<Result>)
      )
      const took = performance.now() - began
      for (const { failed } of results)
        assume(failed?.map(({ address, code }) => ({ address, code }))).eql([{ address: b.address, code: 'EDEADLINE' }])
      await eventually(async () => (await held(a.server)) <= before)
      await ground.untilSaid(a.server, UNREACHED)
      await ground.untilSaid(b.server, SLOW)
      b.proxy.cut()
      b.proxy.thaw()
      await eventually(async () => ((await a.server.call('forward.spark', client.id, 'again')) as Result).send === 1, {
        within: 10_000,
        every: 100
      })
      await eventually(() => client.messages.includes('again'))
      ground.unharmed(a.server, b.server)
      return [took]
    }
  },
  ...each((transport): Row => ({
    id: 'F10',
    fault: `one of ten peers is dead during a broadcast`,
    promise: 'nine peers deliver and are counted; one is in `failed`',
    measures: [
      { what: 'nine delivered after', unit: 'ms', atMost: SLACK },
      { what: 'all reported after', unit: 'ms', atMost: TIMEOUT + SLACK }
    ],
    health: [
      // Eleven servers that start at once are slow to answer each other.
      { warnings: either(UNREACHED, SLOW, MISLED), unless: UNNOTICED, stays: true }
    ],
    runs: 1,
    async provoke(ground) {
      const options = { ...lasting, metroplex: { ...lasting.metroplex, transport } }
      const all = await Promise.all(
        Array.from({ length: PEERS + 1 }, () => ground.start(options, { omega: false, mute: ['join', 'leave'] }))
      )
      const [a, ...others] = all
      const dead = others.at(-1)
      if (a === undefined || dead === undefined) throw new Error('there are eleven')
      const clients = await Promise.all(others.map(({ url }) => openClient(url)))
      await ground.settled(...all)
      assume(await a.call('forward.broadcast', 'first')).eql({ ok: true, send: PEERS })
      await Promise.all(clients.map(client => client.next()))
      const alive = clients.slice(0, -1)
      await dead.kill()
      const began = performance.now()
      const sending = a.call('forward.broadcast', 'second') as Promise<Result>
      assume(await Promise.all(alive.map(client => client.next()))).eql(alive.map(() => 'second'))
      const had = performance.now() - began
      const { ok, send, failed } = await sending
      assume({ ok, send, failed: failed?.map(({ address }) => address) }).eql({
        ok: false,
        send: PEERS - 1,
        failed: [dead.address]
      })
      ground.sound(...all)
      return [had, performance.now() - began]
    }
  })),
  {
    id: 'F25',
    fault: 'two servers cannot reach each other, but reach Redis and all other servers',
    promise: '`EUNREACHABLE` for that pair only; neither server is reaped; messages pass again when the route is back',
    measures: [
      { what: 'reported after', unit: 'ms', atMost: TIMEOUT + SLACK },
      { what: 'right after', unit: 'ms', atMost: 3000 }
    ],
    health: [{ by: [0, 1], warnings: UNREACHED }],
    async provoke(ground) {
      const [a, b, c] = await triangle(ground)
      const [ofA, ofB, ofC] = [
        await openClient(a.server.url),
        await openClient(b.server.url),
        await openClient(c.server.url)
      ]
      await ground.settled(a.server, b.server, c.server)
      for (const { server } of [a, b, c])
        assume(await server.call('forward.broadcast', 'first')).eql({ ok: true, send: 3 })
      for (const { between } of [a, b]) {
        await between.refuse()
        between.cut()
      }
      const began = performance.now()
      for (const [from, to, id, other] of [
        [a, b, ofB.id, ofC.id],
        [b, a, ofA.id, ofC.id]
      ] as const) {
        const { ok, failed } = (await from.server.call('forward.spark', id, 'x')) as Result
        assume({ ok, failed: failed?.map(({ address, code }) => ({ address, code })) }).eql({
          ok: false,
          failed: [{ address: to.server.address, code: 'EUNREACHABLE' }]
        })
        assume(await from.server.call('forward.spark', other, 'y')).eql({ ok: true, send: 1 })
      }
      const told = performance.now() - began
      assume(await c.server.call('forward.broadcast', 'z')).eql({ ok: true, send: 3 })
      // For longer than a lease.
      const beats = async (): Promise<number> =>
        ((await c.server.call('metroplex.stats')) as { counters: { beats: number } }).counters.beats
      const seen = await beats()
      await eventually(async () => (await beats()) > seen + 6, { within: 10_000 })
      await ground.settled(a.server, b.server, c.server)
      for (const { between } of [a, b]) await between.accept()
      const back = performance.now()
      for (const [from, id] of [
        [a, ofB.id],
        [b, ofA.id]
      ] as const) {
        await eventually(async () => ((await from.server.call('forward.spark', id, 'again')) as Result).send === 1, {
          within: 10_000,
          every: 20
        })
      }
      const right = performance.now() - back
      ground.unharmed(a.server, b.server, c.server)
      for (const { messages } of [ofA, ofB]) assume(messages.filter(message => message === 'x')).eql([])
      return [told, right]
    }
  },
  ...each((transport): Row => ({
    id: 'F33',
    fault: 'a peer does not answer 1,000 forwards',
    promise: 'the number of connections to it stays constant; all fail at their deadline; other peers are unaffected',
    measures: [
      { what: 'connections more than before', unit: 'connections', atMost: transport === 'http' ? 1 : 0 },
      { what: 'failed after', unit: 'ms', atMost: TIMEOUT + 2 * SLACK }
    ],
    health: [
      { by: [0], warnings: UNREACHED },
      { by: [1], warnings: SLOW, unless: BRIEF }
    ],
    async provoke(ground) {
      const { a, b, client } = await pair(ground, transport, lasting)
      assume(await a.server.call('forward.spark', client.id, 'first')).eql({ ok: true, send: 1 })
      const { proxy } = transport === 'http' ? b : a
      const before = proxy.held
      b.server.pause()
      let most = 0
      const counting = setInterval(() => {
        most = Math.max(most, proxy.held)
      }, 5)
      try {
        const began = performance.now()
        const codes = await a.server.run(async (primus, id: string) => {
          const { forward } = primus as unknown as {
            forward: { spark(id: string, msg: unknown): Promise<{ failed?: { code: string }[] }> }
          }
          const results = await Promise.all(Array.from({ length: 1000 }, (_, i) => forward.spark(id, i)))
          return results.map(({ failed }) => failed?.[0]?.code ?? 'none')
        }, client.id)
        const took = performance.now() - began
        assume(codes.filter(code => code !== 'EDEADLINE')).eql([])
        await ground.untilSaid(a.server, UNREACHED)
        return [most - before, took]
      } finally {
        clearInterval(counting)
        b.server.resume()
        await eventually(
          async () => ((await a.server.call('forward.spark', client.id, 'again')) as Result).send === 1,
          { within: 10_000, every: 100 }
        )
        ground.unharmed(a.server, b.server)
      }
    }
  }))
]

/** What is told of a name that has been looked up. */
type Found = (error: null, address: unknown, family?: number) => void

/** A server, and what stands between it and one of the others alone. */
interface Corner {
  readonly server: ServerProcess
  readonly between: Awaited<ReturnType<typeof startProxy>>
}

/**
 * Three servers whose addresses have names. To the first two the name of the respective other one means a proxy, to
 * all others the server itself.
 */
async function triangle(ground: Ground): Promise<[Corner, Corner, Corner]> {
  const names = ['a.test', 'b.test', 'c.test']
  const corner = async (i: number): Promise<Corner> => {
    const port = await reservePort()
    const between = await startProxy({ port }, { at: { host: '127.0.0.2', port } })
    const server = await ground.start(
      { address: `http://${names[i] ?? ''}:${port}`, passing: i === 0 ? 'b.test' : i === 1 ? 'a.test' : '' },
      {
        port,
        omega: false,
        prepare: options => {
          const dns = (
            process as unknown as { getBuiltinModule(name: string): Record<string, unknown> }
          ).getBuiltinModule('node:dns')
          dns['lookup'] = (name: string, ...rest: [{ all?: boolean }, Found] | [Found]) => {
            const address = name === passing ? '127.0.0.2' : '127.0.0.1'
            const [how, fn] = rest.length === 1 ? [{}, rest[0]] : rest
            process.nextTick(() => {
              if (how.all === true) fn(null, [{ address, family: 4 }])
              else fn(null, address, 4)
            })
          }
          const { passing } = options
        }
      }
    )
    return { server, between }
  }
  return [await corner(0), await corner(1), await corner(2)]
}
