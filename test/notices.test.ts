import type { Result } from '../lib/common/types'
import { assume } from './support/assume'
import { openClient } from './support/client'
import { reservePort } from './support/ports'
import type { ServerProcess } from './support/server'
import { Trio, type Transport } from './support/trio'
import { eventually } from './support/wait'

/** What a server has told of another one, in order. */
function told(server: ServerProcess, address: string): unknown[][] {
  return server.log
    .filter(({ event, args: [of] }) => (event === 'join' || event === 'leave') && of === address)
    .map(({ event, args: [, ...rest] }) => [event, ...rest])
}

for (const transport of ['http', 'redis'] as Transport[])
  describe(`joins and departures, over ${transport}`, function () {
    this.timeout(120_000)
    let trio: Trio
    let all: [ServerProcess, ServerProcess, ServerProcess]

    // A beat comes every 100 s: nothing of what follows is heard by one.
    before(async () => {
      trio = await Trio.start(transport, { metroplex: { lease: 300_000 } })
      all = trio.servers
    })
    after(async () => {
      for (const { crashes } of all) assume(crashes).eql([])
      await trio.stop()
    })

    const joined = (server: ServerProcess): Promise<unknown> =>
      Promise.all(all.map(one => one.seen('join', { filter: address => address === server.address })))
    const left = (server: ServerProcess): Promise<unknown> =>
      Promise.all(all.map(one => one.seen('leave', { filter: address => address === server.address })))
    const life = (server: ServerProcess): Promise<string> => server.call('metroplex.id') as Promise<string>

    it('is reported at once, and once at each server', async () => {
      const one = await trio.another()
      const id = await life(one)
      await joined(one)
      await one.destroy()
      await left(one)
      for (const server of all)
        assume(told(server, one.address)).eql([
          ['join', id],
          ['leave', 'shutdown', id]
        ])
    })

    it('is reported at once for a server that leaves and comes back', async () => {
      const one = await trio.another()
      const id = await life(one)
      await joined(one)
      await one.call('metroplex.unregister')
      await left(one)
      await one.call('metroplex.register')
      const next = await life(one)
      await eventually(() => all.every(server => told(server, one.address).length === 3))
      for (const server of all)
        assume(told(server, one.address)).eql([
          ['join', id],
          ['leave', 'shutdown', id],
          ['join', next]
        ])
    })

    it('is reported for a server that was killed and restarted, as soon as its former lease has ended', async () => {
      const port = await reservePort()
      const one = await trio.another({ lease: 1000 }, { port })
      const id = await life(one)
      await joined(one)
      await one.kill()
      const again = await trio.another({ lease: 1000 }, { port })
      const next = await life(again)
      await eventually(() => all.every(server => told(server, again.address).some(([, life]) => life === next)), {
        within: 10_000
      })
      // Through Redis it is another address.
      if (transport === 'http')
        for (const server of all)
          assume(told(server, one.address)).eql([
            ['join', id],
            ['leave', 'expired', id],
            ['join', next]
          ])
    })

    it('is reported at once at all servers when one has found a server dead', async () => {
      // Those that look after the dead do so often; the three wait for a notice.
      const [watch, one] = [await trio.another({ lease: 1000 }), await trio.another({ lease: 1000 })]
      const id = await life(one)
      await joined(one)
      await one.kill()
      await watch.seen('leave', { within: 10_000, filter: address => address === one.address })
      await left(one)
      for (const server of [...all, watch])
        assume(told(server, one.address)).eql([
          ['join', id],
          ['leave', 'expired', id]
        ])
    })
  })

for (const transport of ['http', 'redis'] as Transport[])
  describe(`joins and departures, when a server cannot be notified over ${transport}`, function () {
    this.timeout(120_000)

    it('it learns that by its next beat, and reports it once', async () => {
      const trio = await Trio.start(transport, { ways: true, metroplex: { lease: 6000 } })
      const [a, b, c] = trio.servers
      const [, way] = trio.ways
      try {
        await way?.refuse()
        way?.cut()
        const one = await trio.another()
        const id = await one.call('metroplex.id')
        for (const server of [a, c]) await server.seen('join', { filter: address => address === one.address })
        await way?.accept()
        await b.seen('join', { within: 15_000, filter: address => address === one.address })
        await way?.refuse()
        way?.cut()
        await one.destroy()
        for (const server of [a, c]) await server.seen('leave', { filter: address => address === one.address })
        await way?.accept()
        await b.seen('leave', { within: 15_000, filter: address => address === one.address })
        for (const server of [a, b, c]) {
          assume(told(server, one.address)).eql([
            ['join', id],
            ['leave', 'shutdown', id]
          ])
          assume(server.crashes).eql([])
        }
      } finally {
        await trio.stop()
      }
    })
  })

describe('a drain', function () {
  this.timeout(120_000)

  it('is told to a server that does not know the one that drains, and by one that does not know it', async () => {
    // A beat comes every 100 s, and what comes to the second server is lost while others join.
    const trio = await Trio.start('http', { ways: true, metroplex: { lease: 300_000 } })
    const [a, b] = trio.servers
    const [, way] = trio.ways
    // With a spark it stays registered meanwhile.
    const drain = async (server: ServerProcess): Promise<void> => {
      await openClient(server.url)
      await server.call('metroplex.drain', { timeout: 0 })
    }
    try {
      await way?.refuse()
      way?.cut()
      const [one, two] = [await trio.another(), await trio.another()]
      for (const { address } of [one, two]) await a.seen('join', { filter: joined => joined === address })
      await way?.accept()
      await eventually(async () => ((await two.call('forward.broadcast', 'a message')) as Result).ok)
      await drain(two)
      await b.seen('drain', { filter: address => address === two.address })
      await drain(b)
      await one.seen('drain', { filter: address => address === b.address })
    } finally {
      await trio.stop()
    }
  })
})
