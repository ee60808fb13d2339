import type { Called, Metroplex, Result } from '../../index'
import { assume } from '../support/assume'
import { openClient } from '../support/client'
import type { ServerProcess } from '../support/server'
import { eventually } from '../support/wait'
import { SLACK } from './ground'
import { BRIEF, SLOW, UNREACHED } from './health'
import { each, pair } from './passage'
import type { Row } from './row'

/** How long an operation may take here, in ms. */
const TIMEOUT = 1000
/** A server that is paused here is not taken for dead, so that its peers notice it. */
const lasting = { interval: 60_000, metroplex: { timeout: TIMEOUT, lease: 30_000 } }
const CALLS = 1000

/** A server as it looks from within. */
interface Within {
  readonly metroplex: Metroplex
}

/** No question is open there, and none is being answered. */
async function quiet(...servers: readonly ServerProcess[]): Promise<void> {
  for (const server of servers) {
    await eventually(
      async () => {
        const { asked, answering } = (await server.call('metroplex.stats')) as { asked: number; answering: number }
        return asked === 0 && answering === 0
      },
      { within: 10_000 }
    )
  }
}

/** Something that an application may have a method or a handler do, by its name. */
async function furnish(server: ServerProcess): Promise<void> {
  await server.run(primus => {
    const { metroplex } = primus as unknown as Within
    const faults: Record<string, () => unknown> = {
      throws: () => {
        throw new Error('on purpose')
      },
      'never settles': () => new Promise(() => undefined),
      'returns what cannot be sent': () => () => undefined
    }
    for (const [name, fault] of Object.entries(faults)) {
      metroplex.method(name, fault)
      metroplex.subscribe(name, fault)
    }
    metroplex.method('is well', () => 'well')
    metroplex.subscribe('is well', () => undefined)
  })
}

export const calls: readonly Row[] = [
  ...each((transport): Row => ({
    id: 'F22',
    fault: 'a method throws, never settles, or returns a value that cannot be sent',
    promise:
      '`EREMOTE`, `EDEADLINE` or `EMESSAGE` for that server; later calls are not delayed; no process dies; nothing ' +
      'leaks',
    measures: [{ what: 'later calls answered after', unit: 'ms', atMost: SLACK }],
    health: [],
    async provoke(ground) {
      const options = { metroplex: { transport } }
      const [a, b] = [await ground.start(options, { omega: false }), await ground.start(options, { omega: false })]
      const client = await openClient(b.url)
      await ground.settled(a, b)
      await furnish(b)
      const { codes, behind, took } = await a.run(
        async (primus, to: string, id: string) => {
          const { metroplex, forward } = primus as unknown as Within & {
            forward: { spark(id: string, msg: unknown): Promise<Result> }
          }
          await metroplex.call('is well', [], { to })
          const code = ([one]: Called[]): string =>
            one === undefined || one.ok ? 'none' : (one.error as Error & { code: string }).code
          const began = performance.now()
          const bad = ['throws', 'never settles', 'returns what cannot be sent'].map(name =>
            metroplex.call(name, [], { to }).then(code)
          )
          const behind = await Promise.all([metroplex.call('is well', [], { to }), forward.spark(id, 'x')])
          const took = performance.now() - began
          return { codes: await Promise.all(bad), behind, took }
        },
        b.address,
        client.id
      )
      assume(codes).eql(['EREMOTE', 'EDEADLINE', 'EMESSAGE'])
      assume(behind).eql([[{ address: b.address, ok: true, value: 'well' }], { ok: true, send: 1 }])
      await quiet(a, b)
      ground.unharmed(a, b)
      return [took]
    }
  })),
  ...each((transport): Row => ({
    id: 'F22',
    fault: 'a handler of events throws, or never settles',
    promise:
      '`EREMOTE` or `EDEADLINE` for that server; return values are dropped; later events are not delayed; no ' +
      'process dies; nothing leaks',
    measures: [{ what: 'later events handled after', unit: 'ms', atMost: SLACK }],
    health: [],
    async provoke(ground) {
      const options = { metroplex: { transport } }
      const [a, b] = [await ground.start(options, { omega: false }), await ground.start(options, { omega: false })]
      await ground.settled(a, b)
      await furnish(b)
      const { codes, behind, took } = await a.run(async primus => {
        const { metroplex } = primus as unknown as Within
        await metroplex.publish('is well')
        const code = ({ failed }: Result): string => failed?.[0]?.code ?? 'none'
        const began = performance.now()
        const bad = ['throws', 'never settles', 'returns what cannot be sent'].map(name =>
          metroplex.publish(name).then(code)
        )
        const behind = await metroplex.publish('is well')
        const took = performance.now() - began
        return { codes: await Promise.all(bad), behind, took }
      })
      assume(codes).eql(['EREMOTE', 'EDEADLINE', 'none'])
      assume(behind).eql({ ok: true, send: 1 })
      await quiet(a, b)
      ground.unharmed(a, b)
      return [took]
    }
  })),
  ...each((transport): Row => ({
    id: 'F33',
    fault: 'a peer does not answer 1,000 calls',
    promise: 'the number of connections to it stays constant; all fail at their deadline; nothing leaks',
    measures: [
      { what: 'connections more than before', unit: 'connections', atMost: transport === 'http' ? 1 : 0 },
      { what: 'failed after', unit: 'ms', atMost: TIMEOUT + 2 * SLACK }
    ],
    health: [
      { by: [0], warnings: UNREACHED },
      { by: [1], warnings: SLOW, unless: BRIEF }
    ],
    async provoke(ground) {
      const { a, b } = await pair(ground, transport, lasting)
      await furnish(b.server)
      const to = b.server.address
      const reached = async (): Promise<boolean> =>
        ((await a.server.call('metroplex.call', 'is well', [], { to })) as Called[]).every(({ ok }) => ok)
      await eventually(reached)
      const { proxy } = transport === 'http' ? b : a
      const before = proxy.held
      b.server.pause()
      let most = 0
      const counting = setInterval(() => {
        most = Math.max(most, proxy.held)
      }, 5)
      try {
        const began = performance.now()
        const codes = await a.server.run(
          async (primus, to: string, count: number) => {
            const { metroplex } = primus as unknown as Within
            const called = await Promise.all(
              Array.from({ length: count }, (_, i) => metroplex.call('is well', [i], { to }))
            )
            return called.map(([one]) =>
              one === undefined || one.ok ? 'none' : (one.error as Error & { code: string }).code
            )
          },
          to,
          CALLS
        )
        const took = performance.now() - began
        assume(codes.filter(code => code !== 'EDEADLINE')).eql([])
        return [most - before, took]
      } finally {
        clearInterval(counting)
        b.server.resume()
        await eventually(reached, { within: 10_000, every: 100 })
        await quiet(a.server, b.server)
        ground.unharmed(a.server, b.server)
      }
    }
  }))
]
