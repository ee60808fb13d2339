import fc from 'fast-check'
import type { EventContext, Metroplex, Result } from '../index'
import { assume } from './support/assume'
import { rejection } from './support/rejection'
import type { ServerProcess } from './support/server'
import { Trio, type Transport } from './support/trio'
import { eventually } from './support/wait'

/** A server as it looks from within. */
interface Within {
  readonly metroplex: Metroplex
}

/** What handlers have noted: who told them, and what. */
type Heard = [from: string, data: unknown]

/** Note on a server what is heard of a type, in a list of that name. */
async function listen(server: ServerProcess, type: string): Promise<void> {
  await server.run((primus, type: string) => {
    const lists = ((globalThis as { heard?: Record<string, Heard[]> }).heard ??= {})
    const heard = (lists[type] = [] as Heard[])
    const handler = (data: unknown, { from }: EventContext): void => {
      heard.push([from, data])
    }
    ;(primus as unknown as Within).metroplex.subscribe(type, handler)
  }, type)
}

/** What a server has heard of a type. */
function heard(server: ServerProcess, type: string): Promise<Heard[]> {
  return server.run(
    (_primus, type: string) => (globalThis as unknown as { heard: Record<string, Heard[]> }).heard[type] ?? [],
    type
  )
}

const plainly = ({ failed }: Result): unknown[] | undefined =>
  failed?.map(({ address, code, maybe }) => [address, code, maybe])

for (const transport of ['http', 'redis'] as Transport[])
  describe(`events over ${transport}`, function () {
    this.timeout(120_000)
    let trio: Trio
    let [a, b, c] = [] as unknown as [ServerProcess, ServerProcess, ServerProcess]
    let types = 0
    let type: string

    before(async () => {
      trio = await Trio.start(transport, { ways: true, metroplex: { maxBody: 100_000 } })
      ;[a, b, c] = trio.servers
      // The ways are opened here, and not by the first test.
      for (const server of trio.servers) await server.call('metroplex.publish', 'hello')
    })
    beforeEach(() => {
      type = `type ${++types}`
    })
    afterEach(() => trio.quiet(a, b, c))
    after(async () => {
      for (const { crashes } of trio.servers) assume(crashes).eql([])
      await trio.stop()
    })

    const publish = (...args: unknown[]): Promise<Result> =>
      a.call('metroplex.publish', type, ...args) as Promise<Result>

    it('reach every other server, this one on request, or only the named ones', async () => {
      for (const server of [a, b, c]) await listen(server, type)
      assume(await publish('others')).eql({ ok: true, send: 2 })
      assume(await publish('all', { self: true })).eql({ ok: true, send: 3 })
      assume(await publish('one', { to: c.address })).eql({ ok: true, send: 1 })
      assume(await publish('two', { to: [a.address, b.address] })).eql({ ok: true, send: 2 })
      assume(await heard(a, type)).eql([
        [a.address, 'all'],
        [a.address, 'two']
      ])
      assume(await heard(b, type)).eql([
        [a.address, 'others'],
        [a.address, 'all'],
        [a.address, 'two']
      ])
      assume(await heard(c, type)).eql([
        [a.address, 'others'],
        [a.address, 'all'],
        [a.address, 'one']
      ])
    })

    it('carry any value, and none; and have a type of any name', async () => {
      await listen(b, type)
      const values = [0, '', false, null, [], { deep: [{ er: 'ü' }] }]
      for (const value of values) await publish(value)
      await publish()
      assume((await heard(b, type)).map(([, data]) => data)).eql([...values, null])
      for (const name of ['__proto__', 'constructor', 'x'.repeat(5000)]) {
        assume(await a.call('metroplex.publish', name, 1)).eql({ ok: true, send: 0 })
        await listen(b, name)
        assume(await a.call('metroplex.publish', name, 2)).eql({ ok: true, send: 1 })
      }
    })

    it("reach every handler, with the publisher's address, and none that was unsubscribed", async () => {
      const seen = (): Promise<unknown[]> => b.run(() => (globalThis as unknown as { seen: unknown[] }).seen)
      await b.run((primus, type: string) => {
        const { metroplex } = primus as unknown as Within
        const seen: unknown[] = []
        const handler = (data: unknown, { signal, ...context }: EventContext): void => {
          seen.push([data, context, signal.aborted])
        }
        const ends = [
          metroplex.subscribe(type, handler),
          metroplex.subscribe(type, handler),
          metroplex.subscribe(type, () => {
            seen.push('another')
          })
        ]
        Object.assign(globalThis, { seen, ends })
      }, type)
      const context = { type, from: a.address, address: b.address, local: false }
      assume(await publish('x')).eql({ ok: true, send: 3 })
      assume(await seen()).eql([['x', context, false], ['x', context, false], 'another'])
      await b.run(() => {
        const {
          ends: [first]
        } = globalThis as unknown as { ends: [() => void] }
        first()
        first()
      })
      assume(await publish('y')).eql({ ok: true, send: 2 })
      await b.run(() => {
        for (const end of (globalThis as unknown as { ends: (() => void)[] }).ends) end()
      })
      assume(await publish('z')).eql({ ok: true, send: 0 })
      assume((await seen()).length).equals(5)
    })

    it('resolve when handlers have settled, and name each that failed; others are unaffected', async () => {
      await b.run((primus, type: string) => {
        const { metroplex } = primus as unknown as Within
        metroplex.subscribe(type, () => {
          throw new Error('at once')
        })
        metroplex.subscribe(type, async () => {
          await new Promise(resolve => setTimeout(resolve, 50))
          Object.assign(globalThis, { settled: true })
        })
        metroplex.subscribe(type, () => Promise.reject(Object.assign(new Error(''), { message: 7 })))
        metroplex.subscribe(type, () => undefined)
      }, type)
      await listen(c, type)
      const result = await publish('x')
      assume(await b.run(() => (globalThis as unknown as { settled?: boolean }).settled)).true()
      assume([result.ok, result.send, plainly(result)]).eql([
        false,
        3,
        [
          [b.address, 'EREMOTE', true],
          [b.address, 'EREMOTE', true]
        ]
      ])
      assume(result.failed?.[0]?.message).equals('at once')
      const error = (await rejection(a.callback('metroplex.publish', type, 'x'))) as Error & {
        code: string
        result: Result
      }
      assume([error.code, error.message, error.result.send]).eql(['EREMOTE', 'at once', 3])
    })

    it('with a handler that never settles fail for that server at the deadline, and delay no later ones', async () => {
      await b.run((primus, type: string) => {
        ;(primus as unknown as Within).metroplex.subscribe(
          type,
          (_data, { signal }) =>
            new Promise(() => {
              signal.addEventListener('abort', () => {
                Object.assign(globalThis, { ended: true })
              })
            })
        )
      }, type)
      for (const server of [b, c]) await listen(server, `${type} behind`)
      await listen(c, type)
      let over = false
      const stuck = publish('x', { timeout: 5000 }).finally(() => {
        over = true
      })
      const value = await a.call('metroplex.publish', `${type} behind`, 'y', { timeout: 5000 })
      assume(value).eql({ ok: true, send: 2 })
      assume(over).false()
      const result = await stuck
      assume([result.send, plainly(result)]).eql([1, [[b.address, 'EDEADLINE', true]]])
      await eventually(() => b.run(() => (globalThis as unknown as { ended?: boolean }).ended))
    })

    it('can be given up', async () => {
      await b.run((primus, type: string) => {
        ;(primus as unknown as Within).metroplex.subscribe(type, () => {
          Object.assign(globalThis, { begun: true })
          return new Promise(() => undefined)
        })
      }, type)
      // To one server: another one may not have answered yet when the signal is aborted.
      const given = a.run(
        async (primus, type: string, to: string) => {
          const { metroplex } = primus as unknown as Within
          const giving = new AbortController()
          Object.assign(globalThis, { giving })
          return metroplex.publish(type, 1, { timeout: 60_000, to, signal: giving.signal })
        },
        type,
        b.address
      )
      await eventually(() => b.run(() => (globalThis as unknown as { begun?: boolean }).begun))
      await a.run(() => {
        ;(globalThis as unknown as { giving: AbortController }).giving.abort()
      })
      const result = await given
      assume([result.send, result.failed?.map(({ address, code }) => [address, code])]).eql([
        0,
        [[b.address, 'EDEADLINE']]
      ])
    })

    it('with arguments that are none are refused in a sentence, and so is what cannot be sent', async () => {
      for (const [args, sentence] of [
        [[''], /type of an event must be a string that is not empty/],
        [[type, 1, { self: 'yes' }], /`self` must be true or false/],
        [[type, 1, { to: 7 }], /`to` must be an address/]
      ] as [unknown[], RegExp][])
        assume((await rejection(a.call('metroplex.publish', ...args))).message).matches(sentence)
      assume(
        (
          await rejection(
            a.run((primus, type: string) => (primus as unknown as Within).metroplex.publish(type, Symbol('x')), type)
          )
        ).code
      ).equals('EMESSAGE')
      assume((await rejection(a.call('metroplex.subscribe', type, 'handler'))).message).includes(
        'a handler must be a function'
      )
      await listen(b, type)
      assume(plainly(await publish('x'.repeat(100_000), { to: b.address }))).eql([[b.address, 'ETOOBIG', false]])
    })

    it('can be called back', async () => {
      await listen(b, type)
      assume(await a.callback('metroplex.publish', type)).eql({ ok: true, send: 1 })
      assume(await a.callback('metroplex.publish', type, 'x', { to: b.address })).eql({ ok: true, send: 1 })
      assume(await heard(b, type)).eql([
        [a.address, null],
        [a.address, 'x']
      ])
    })

    it('begin in the order of their publication, also when handlers are slow and connections break', async () => {
      const plan = fc.record({
        gaps: fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 40, maxLength: 120 }),
        cuts: fc.integer({ min: 0, max: 3 })
      })
      await fc.assert(
        fc.asyncProperty(plan, async ({ gaps, cuts }) => {
          const name = `order ${++types}`
          for (const server of [a, b, c]) {
            await listen(server, name)
            await server.run((primus, name: string) => {
              const delays = (): Promise<unknown> =>
                new Promise(resolve => {
                  setTimeout(resolve, Math.random() * 20)
                })
              ;(primus as unknown as Within).metroplex.subscribe(name, delays)
            }, name)
          }
          const publishing = [a, b, c].map(server =>
            server.run(
              async (primus, name: string, gaps: number[]) => {
                const { metroplex } = primus as unknown as Within
                const published: Promise<Result>[] = []
                for (const [n, gap] of gaps.entries()) {
                  published.push(metroplex.publish(name, n, { self: true, timeout: 10_000 }))
                  // Many in one turn of the event loop, and some in later ones.
                  if (gap === 1) await Promise.resolve()
                  else if (gap > 1)
                    await new Promise(resolve => {
                      setTimeout(resolve, gap)
                    })
                }
                return (await Promise.all(published)).map(({ failed = [] }) => failed.map(({ address }) => address))
              },
              name,
              gaps
            )
          )
          for (let i = 0; i < cuts; i++) {
            await b.call('metroplex.stats')
            for (const way of trio.ways) way.cut()
          }
          const failures = await Promise.all(publishing)
          for (const to of [a, b, c]) {
            const all = await heard(to, name)
            for (const [i, from] of [a, b, c].entries()) {
              const numbers = all.filter(([address]) => address === from.address).map(([, n]) => Number(n))
              assume(numbers).eql([...new Set(numbers)].sort((x, y) => x - y))
              const told = gaps.map((_, n) => n).filter(n => failures[i]?.[n]?.includes(to.address) === false)
              assume(told.filter(n => !numbers.includes(n))).eql([])
            }
          }
          await trio.quiet(a, b, c)
        }),
        { numRuns: 4 }
      )
    })
  })
