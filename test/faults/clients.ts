import { connect } from 'node:net'
import { once } from 'node:events'
import { randomBytes } from 'node:crypto'
import type { Result } from '../../index'
import { assume } from '../support/assume'
import { openClient } from '../support/client'
import { using } from '../support/dispose'
import { eventually } from '../support/wait'
import { SLACK } from './ground'
import { counter } from './passage'
import type { Row } from './row'

/** The most that may wait for one client here, in bytes. */
const BUFFERED = 1_000_000

export const clients: readonly Row[] = [
  {
    id: 'F22',
    fault: 'writing to a spark throws',
    promise: '`EREMOTE` for that server; later messages are not delayed; no process dies',
    measures: [{ what: 'all reported after', unit: 'ms', atMost: SLACK }],
    health: [],
    async provoke(ground) {
      const [a, b] = [await ground.start({}, { omega: false }), await ground.start({}, { omega: false })]
      const [bad, good] = [await openClient(b.url), await openClient(b.url)]
      await ground.settled(a, b)
      await b.run((primus, id: string) => {
        const spark = primus.spark(id)
        Object.defineProperty(spark, 'write', {
          value: () => {
            throw new Error('it was broken by the application')
          }
        })
      }, bad.id)
      const began = performance.now()
      const [first, second] = (await a.run(
        (primus, bad: string, good: string) => {
          const { forward } = primus as unknown as { forward: { spark(id: string, msg: unknown): Promise<unknown> } }
          return Promise.all([forward.spark(bad, 'x'), forward.spark(good, 'x')])
        },
        bad.id,
        good.id
      )) as [Result, Result]
      const took = performance.now() - began
      assume(first.failed?.map(({ address, code, maybe }) => ({ address, code, maybe }))).eql([
        { address: b.address, code: 'EREMOTE', maybe: true }
      ])
      assume(first.failed?.[0]?.message).matches(/it was broken by the application/)
      assume(second).eql({ ok: true, send: 1 })
      assume(await good.next()).equals('x')
      ground.unharmed(a, b)
      return [took]
    }
  },
  {
    id: 'F23',
    fault: 'the socket of a client does not drain',
    promise:
      'at `maxBuffered` the client is ended with a hint to reconnect, and counted; memory is bounded; other ' +
      'clients are served',
    measures: [{ what: 'memory grown by', unit: 'MB', atMost: 48 }],
    health: [],
    async provoke(ground) {
      const options = { metroplex: { maxBuffered: BUFFERED } }
      const [a, b] = [await ground.start(options, { omega: false }), await ground.start(options, { omega: false })]
      const quick = await openClient(b.url)
      const { hostname, port } = new URL(b.url)
      const slow = connect(Number(port), hostname)
      using(() => {
        slow.destroy()
      })
      slow.on('error', () => undefined)
      slow.write(
        'GET /primus/?_primuscb=x HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\n' +
          `sec-websocket-version: 13\r\nsec-websocket-key: ${randomBytes(16).toString('base64')}\r\n\r\n`
      )
      await once(slow, 'data')
      slow.pause()
      await eventually(async () => (await b.sparks()).length === 2)
      await ground.settled(a, b)
      const rss = (): Promise<number> => b.run(() => process.memoryUsage().rss / 1e6)
      const before = await rss()
      let largest = 0
      let sent = 0
      const text = 'x'.repeat(100_000)
      await eventually(
        async () => {
          const { ok } = (await a.call('forward.broadcast', text)) as Result
          assume(ok).true()
          sent++
          largest = Math.max(largest, (await rss()) - before)
          return (await b.sparks()).length === 1
        },
        { within: 30_000, every: 0 }
      )
      assume(await counter(b, 'ended')).equals(1)
      assume(await b.sparks()).eql([quick.id])
      await quick.count(sent)
      await ground.settled(a, b)
      ground.unharmed(a, b)
      return [largest]
    }
  }
]
