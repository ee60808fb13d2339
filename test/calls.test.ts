import type { Called, Metroplex, Spark } from '../index'
import { assume } from './support/assume'
import { openClient, type Client } from './support/client'
import { rejection } from './support/rejection'
import type { ServerProcess } from './support/server'
import { Trio, type Transport } from './support/trio'
import { elapsed, eventually } from './support/wait'

/** A server as it looks from within. */
interface Within {
  readonly metroplex: Metroplex
}

/** What the methods of a server note, for tests to look at. */
interface Notes {
  begun: number
  aborted: number
}

type Answer =
  | { ok: true; value: unknown }
  | {
      ok: false
      error: {
        code?: string
        message: string
        address?: string
        maybe?: boolean
        cause?: { name: string; message: string; code?: string; stack?: string }
      }
    }

/** Give a server the methods that are called here. */
async function furnish(server: ServerProcess): Promise<void> {
  await server.run(primus => {
    const { metroplex } = primus as unknown as Within
    const notes: Notes = { begun: 0, aborted: 0 }
    Object.assign(globalThis, { notes })
    metroplex.method('where', function () {
      return this.address
    })
    metroplex.method('echo', (...args: unknown[]) => args)
    metroplex.method('context', function () {
      return {
        from: this.from,
        local: this.local,
        primus: this.primus === (primus as unknown),
        spark: this.spark?.id ?? 'none',
        aborted: this.signal.aborted
      }
    })
    metroplex.method('nothing', () => undefined)
    metroplex.method(
      'later',
      () =>
        new Promise(resolve => {
          setTimeout(resolve, 20, 'later')
        })
    )
    metroplex.method('throws', () => {
      throw Object.assign(new RangeError('on purpose'), { code: 'EPURPOSE' })
    })
    metroplex.method('rejects', () => Promise.reject(new Error('not now')))
    metroplex.method('function', () => () => 1)
    metroplex.method('large', (bytes: number) => 'x'.repeat(bytes))
    metroplex.method('never', function () {
      notes.begun++
      this.signal.addEventListener('abort', () => {
        notes.aborted++
      })
      return new Promise(() => undefined)
    })
    metroplex.method('end', function () {
      return (this.spark as Spark & { readyState: number }).readyState
    })
  })
}

/** Call from a server; what came of it, as it can travel to here. */
function call(
  server: ServerProcess,
  name: string,
  args: unknown[] = [],
  options: object = {}
): Promise<({ address: string } & Answer)[]> {
  return server.run(
    async (primus, name: string, args: unknown[], options: object) => {
      const called: Called[] = await (primus as unknown as Within).metroplex.call(name, args, options)
      type Fields = Error & { code?: string | undefined; address?: string | undefined; maybe?: boolean | undefined }
      const plain = ({ name, message, stack, code, address, maybe, cause }: Fields): object => ({
        name,
        message,
        stack,
        code,
        address,
        maybe,
        ...(cause instanceof Error && { cause: plain(cause) })
      })
      return called.map(one => (one.ok ? one : { address: one.address, ok: false, error: plain(one.error) }))
    },
    name,
    args,
    options
  ) as Promise<({ address: string } & Answer)[]>
}

/** What each server said, by its address. */
function said(called: readonly ({ address: string } & Answer)[]): Record<string, unknown> {
  return Object.fromEntries(called.map(one => [one.address, one.ok ? one.value : one.error.code]))
}

const notes = (server: ServerProcess): Promise<Notes> =>
  server.run(() => (globalThis as unknown as { notes: Notes }).notes)

for (const transport of ['http', 'redis'] as Transport[])
  describe(`calls over ${transport}`, function () {
    this.timeout(120_000)
    const timeout = 3000
    const maxBody = 100_000
    let trio: Trio
    let [a, b, c] = [] as unknown as [ServerProcess, ServerProcess, ServerProcess]

    before(async () => {
      trio = await Trio.start(transport, { metroplex: { lease: 3000, timeout, maxBody } })
      ;[a, b, c] = trio.servers
      for (const server of trio.servers) await furnish(server)
    })
    afterEach(() => trio.quiet(a, b, c))
    after(async () => {
      for (const { crashes } of trio.servers) assume(crashes).eql([])
      await trio.stop()
    })

    const all = (value: unknown): Record<string, unknown> =>
      Object.fromEntries([a, b, c].map(({ address }) => [address, value]))

    /** Until a server has begun so many calls that never settle. */
    const begun = (server: ServerProcess, count: number): Promise<unknown> =>
      eventually(async () => (await notes(server)).begun === count)

    it('are answered by each server for itself, including the caller', async () => {
      assume(said(await call(a, 'where'))).eql(Object.fromEntries([a, b, c].map(({ address }) => [address, address])))
      assume(said(await call(a, 'where', [], { self: false }))).eql({ [b.address]: b.address, [c.address]: c.address })
      assume(said(await call(a, 'where', [], { to: b.address }))).eql({ [b.address]: b.address })
      assume(said(await call(a, 'where', [], { to: [a.address, c.address, a.address] }))).eql({
        [a.address]: a.address,
        [c.address]: c.address
      })
      assume(await call(a, 'where', [], { to: [] })).eql([])
    })

    it('carry any message value, binary parts, and no value', async () => {
      const values = [1, null, 'ü', '', false, [], { deep: [{ er: 1 }] }, 'primus::no']
      assume(said(await call(a, 'echo', values))).eql(all(values))
      const bytes = await a.run(async (primus, to: string) => {
        const [one] = await (primus as unknown as Within).metroplex.call(
          'echo',
          [Buffer.from('whole'), { part: new Uint8Array([1, 2]) }],
          { to }
        )
        const [whole, { part }] = (one as { value: unknown }).value as [Buffer, { part: Buffer }]
        return [Buffer.isBuffer(whole), whole.toString(), Buffer.isBuffer(part), [...part]]
      }, b.address)
      assume(bytes).eql([true, 'whole', true, [1, 2]])
      assume(said(await call(a, 'nothing'))).eql(all(undefined))
      assume(said(await call(a, 'later'))).eql(all('later'))
    })

    it("give a method the caller's address, and say whether the caller is the same server", async () => {
      const context = { from: a.address, primus: true, spark: 'none', aborted: false }
      const found = said(await call(a, 'context'))
      assume(found).eql({
        [a.address]: { ...context, local: true },
        [b.address]: { ...context, local: false },
        [c.address]: { ...context, local: false }
      })
    })

    it('of unregistered methods fail at once under any name', async () => {
      for (const name of ['unknown', '__proto__', 'constructor', 'toString', 'hasOwnProperty', 'x'.repeat(5000)])
        assume(said(await call(a, name))).eql(all('ENOMETHOD'))
      const { ms } = await elapsed(() => call(a, 'unknown', [], { timeout: 60_000 }))
      assume(ms).below(30_000)
    })

    it('report name, message and code of a thrown error, without its stack', async () => {
      const [failed] = await call(a, 'throws', [], { to: b.address })
      if (failed?.ok !== false) throw new Error('it did not fail')
      const { code, message, address, cause } = failed.error
      assume([code, message, address]).eql(['EREMOTE', 'on purpose', b.address])
      assume([cause?.name, cause?.message, cause?.code, cause?.stack]).eql([
        'RangeError',
        'on purpose',
        'EPURPOSE',
        'RangeError: on purpose'
      ])
      assume(said(await call(a, 'throws'))).eql(all('EREMOTE'))
      assume(said(await call(a, 'rejects'))).eql(all('EREMOTE'))
    })

    it('of a method that never settles fail at their deadline, and those that can be answered are', async () => {
      const before = await notes(b)
      const { ms, value } = await elapsed(() => call(a, 'never', [], { timeout: 200, to: b.address }))
      const [failed] = value
      assume(failed?.ok === false && [failed.error.code, failed.error.maybe]).eql(['EDEADLINE', true])
      assume(ms).atleast(195)
      await eventually(async () => (await notes(b)).aborted === before.aborted + 1)
      assume((await notes(b)).begun).equals(before.begun + 1)
    })

    it('name values that cannot be sent, on either side, and values that are too large', async () => {
      assume(said(await call(a, 'function'))).eql(all('EMESSAGE'))
      for (const value of ['() => 1', 'Symbol("x")', '10n', '(() => { const x = {}; x.x = x; return x })()']) {
        const failed = await a.run(async (primus, source: string) => {
          const value: unknown = (globalThis as unknown as { eval(source: string): unknown }).eval(source)
          return (primus as unknown as Within).metroplex
            .call('echo', [1, value])
            .catch((error: unknown) => (error as { code: string }).code)
        }, value)
        assume(failed).equals('EMESSAGE')
      }
      const large = await call(a, 'large', [maxBody], { self: false })
      assume(said(large)).eql({ [b.address]: 'ETOOBIG', [c.address]: 'ETOOBIG' })
      assume(said(await call(a, 'echo', ['x'.repeat(maxBody)], { to: b.address }))).eql({ [b.address]: 'ETOOBIG' })
    })

    it('are not delayed by earlier calls that never settle, nor are messages', async () => {
      const client = await openClient(b.url)
      await eventually(async () => (await a.call('metroplex.spark', client.id)) === b.address)
      const { ms, value } = await elapsed(() =>
        a.run(
          async (primus, to: string, id: string) => {
            const { metroplex, forward } = primus as unknown as Within & {
              forward: { spark(id: string, msg: unknown): Promise<unknown> }
            }
            const giving = new AbortController()
            const stuck = ['never', 'throws', 'never'].map(name =>
              metroplex.call(name, [], { to, timeout: 60_000, signal: giving.signal })
            )
            const after = await Promise.all([forward.spark(id, 'behind'), metroplex.call('where', [], { to })])
            giving.abort()
            await Promise.all(stuck)
            return after
          },
          b.address,
          client.id
        )
      )
      assume(value).eql([{ ok: true, send: 1 }, [{ address: b.address, ok: true, value: b.address }]])
      assume(ms).below(30_000)
      assume(await client.next()).equals('behind')
    })

    it('can be called back, and then return the object', async () => {
      assume(await a.callback('metroplex.call', 'where', [], { to: b.address })).eql([
        { address: b.address, ok: true, value: b.address }
      ])
      assume(await a.callback('metroplex.first', 'where', [], { to: [c.address] })).equals(c.address)
      assume(((await a.callback('metroplex.call', 'where')) as unknown[]).length).equals(3)
      assume((await rejection(a.callback('metroplex.call', ''))).message).includes('name of a method')
      assume(
        await a.run(primus => {
          const { metroplex } = primus as unknown as Within
          return (
            metroplex.call('where', () => undefined) === metroplex &&
            metroplex.first('where', [], {}, () => undefined) === metroplex
          )
        })
      ).true()
    })

    it('with arguments that are none are refused in a sentence', async () => {
      for (const [args, sentence] of [
        [[''], /must be a string that is not empty/],
        [[7], /must be a string that is not empty; given: 7/],
        [['where', 'args'], /must be an array; given: 'args'/],
        [['where', [], 'options'], /options must be an object/],
        [['where', [], { timeout: 0 }], /whole number of milliseconds, from 1/],
        [['where', [], { timeout: Infinity }], /whole number of milliseconds/],
        [['where', [], { to: '' }], /`to` must be an address/],
        [['where', [], { to: 'not an address' }], /not an address/],
        [['where', [], { self: 1 }], /`self` must be true or false/],
        [['where', [], { signal: {} }], /must be an AbortSignal/],
        [['where', [], { wait: 1 }], /`wait` is not known here. Known are: timeout, signal, to, self/]
      ] as [unknown[], RegExp][]) {
        const { name, message } = await rejection(a.call('metroplex.call', ...args))
        assume(message).matches(sentence)
        assume(name).matches(/^(Type|Range)Error$/)
      }
      assume(
        (await rejection(a.run(primus => (primus as unknown as Within).metroplex.method('where', () => 1)))).message
      ).includes('already')
      assume((await rejection(a.call('metroplex.method', 'x', 'y'))).message).includes('must be a function')
    })

    it('are aborted at the responder when the caller aborts: at once, with its reason', async () => {
      const before = await notes(b)
      const outcome = a.run(async (primus, to: string) => {
        const { metroplex } = primus as unknown as Within
        const giving = new AbortController()
        Object.assign(globalThis, { giving })
        const [called, first] = await Promise.all([
          metroplex.call('never', [], { to, timeout: 60_000, signal: giving.signal }),
          metroplex
            .first('never', [], { to, timeout: 60_000, signal: giving.signal })
            .catch((error: unknown) => (error as Error).message)
        ])
        return [called.map(one => (one.ok ? 'ok' : one.error.message)), first]
      }, b.address)
      await begun(b, before.begun + 2)
      await a.run(() => {
        ;(globalThis as unknown as { giving: AbortController }).giving.abort(new Error('enough'))
      })
      assume(await outcome).eql([['enough'], 'enough'])
      await eventually(async () => (await notes(b)).aborted === before.aborted + 2)
    })

    it('may share a signal, however many they are', async () => {
      assume(
        await a.run(async (primus, to: string) => {
          const { metroplex } = primus as unknown as Within
          const { signal } = new AbortController()
          const called = await Promise.all(
            Array.from({ length: 50 }, (_, i) => metroplex.call('echo', [i], { to, signal }))
          )
          await Promise.all(Array.from({ length: 50 }, (_, i) => metroplex.first('echo', [i], { to, signal })))
          return called.every(([one], i) => one?.ok === true && (one.value as unknown[])[0] === i)
        }, b.address)
      ).true()
    })

    describe('of which the first success counts', () => {
      it('take it, and end the others', async () => {
        const before = [await notes(b), await notes(c)]
        await a.run(primus => {
          ;(primus as unknown as Within).metroplex.method('one', () => 'first')
        })
        for (const server of [b, c]) {
          await server.run(primus => {
            ;(primus as unknown as Within).metroplex.method('one', function () {
              const { notes } = globalThis as unknown as { notes: Notes }
              notes.begun++
              this.signal.addEventListener('abort', () => {
                notes.aborted++
              })
              return new Promise(() => undefined)
            })
          })
        }
        assume(await a.call('metroplex.first', 'one', [], { timeout: 60_000 })).equals('first')
        for (const [i, server] of [b, c].entries()) {
          await eventually(async () => {
            const { begun, aborted } = await notes(server)
            return begun === (before[i]?.begun ?? 0) + 1 && aborted === (before[i]?.aborted ?? 0) + 1
          })
        }
      })

      it('fail with the errors of all when all have failed', async () => {
        const error = (await rejection(a.call('metroplex.first', 'throws'))) as Error & {
          errors: (Error & { code: string })[]
        }
        assume(error.name).equals('AggregateError')
        assume(error.message).matches(/^No server has run the method 'throws' successfully: on purpose/)
        assume(error.errors.map(({ code }) => code)).eql(['EREMOTE', 'EREMOTE', 'EREMOTE'])
        const none = (await rejection(a.call('metroplex.first', 'where', [], { to: [] }))) as Error & {
          errors: unknown[]
        }
        assume([none.errors.length, none.message]).eql([
          0,
          "No server has run the method 'where' successfully: none was asked."
        ])
      })

      it('fail at the deadline without an answer', async () => {
        const { errors } = (await rejection(a.call('metroplex.first', 'never', [], { timeout: 200 }))) as Error & {
          errors: { code: string }[]
        }
        assume(errors.map(({ code }) => code)).eql(['EDEADLINE', 'EDEADLINE', 'EDEADLINE'])
      })
    })

    describe('that are about a spark', () => {
      let near: Client
      let far: Client

      beforeEach(async () => {
        near = await openClient(a.url)
        far = await openClient(b.url)
        await eventually(
          async () =>
            (await c.call('metroplex.spark', far.id)) === b.address &&
            (await c.call('metroplex.spark', near.id)) === a.address
        )
      })

      it('go only to the server that holds it', async () => {
        for (const { id } of [near, far])
          assume(((await a.call('metroplex.apply', id, 'context')) as { spark: string }).spark).equals(id)
        assume(await a.call('metroplex.apply', far.id, 'where')).equals(b.address)
        assume(await a.call('metroplex.apply', near.id, 'where')).equals(a.address)
        assume(await a.call('metroplex.apply', far.id, 'echo', [1, { two: 2 }])).eql([1, { two: 2 }])
        assume(await a.callback('metroplex.apply', far.id, 'where')).equals(b.address)
      })

      it('fail as the method does', async () => {
        for (const [name, code] of [
          ['unknown', 'ENOMETHOD'],
          ['throws', 'EREMOTE'],
          ['function', 'EMESSAGE']
        ]) {
          for (const { id } of [near, far])
            assume((await rejection(a.call('metroplex.apply', id, name))).code).equals(code)
        }
        assume((await rejection(a.call('metroplex.apply', far.id, 'never', [], { timeout: 200 }))).code).equals(
          'EDEADLINE'
        )
      })

      it('fail at once when no server holds it, or it is no id', async () => {
        const { ms, value } = await elapsed(() =>
          rejection(a.call('metroplex.apply', 'unknown', 'where', [], { timeout: 60_000 }))
        )
        assume(value.code).equals('ENOSPARK')
        assume(ms).below(30_000)
        for (const id of ['', undefined, null, {}])
          assume((await rejection(a.call('metroplex.apply', id, 'where'))).name).equals('TypeError')
        assume((await rejection(a.call('metroplex.apply', far.id, 'where', [], { to: b.address }))).message).includes(
          'Known are: timeout, signal'
        )
      })

      it('follow it once when it has moved', async () => {
        assume(await c.call('metroplex.apply', far.id, 'where')).equals(b.address)
        const { id } = far
        // Another spark of the same id, as an application's own ids may have it: the registry follows, and what c
        // remembers is wrong.
        await a.run((primus, id: string) => {
          const moved = { id, write: () => true, end: () => undefined }
          ;(primus as unknown as Within).metroplex.connect(moved)
          Object.defineProperty(primus, 'spark', { configurable: true, value: () => moved })
        }, id)
        await b.run((primus, id: string) => {
          const { metroplex, connections } = primus as unknown as Within & { connections: Record<string, Spark> }
          const spark = connections[id]
          if (spark !== undefined) metroplex.disconnect(spark)
        }, id)
        await eventually(async () => (await b.call('metroplex.spark', id)) === a.address)
        assume(await c.call('metroplex.apply', id, 'where')).equals(a.address)
        await a.run(primus => {
          delete (primus as { spark?: unknown }).spark
        })
      })
    })

    it('to an address without a server fail for that address only', async () => {
      assume(said(await call(a, 'where', [], { to: ['http://127.0.0.1:1', b.address] }))).eql({
        'http://127.0.0.1:1': 'EUNREACHABLE',
        [b.address]: b.address
      })
    })

    it('to a server that ends fail at once with it, and its own fail and end', async () => {
      const d = await trio.another()
      await furnish(d)
      await trio.known(a, d)
      const before = await notes(b)
      const open = d.run(async (primus, to: string) => {
        const [called] = await (primus as unknown as Within).metroplex.call('never', [], { to, timeout: 60_000 })
        return called?.ok === false ? (called.error as Error & { code: string }).code : 'ok'
      }, b.address)
      const there = call(a, 'never', [], { to: d.address, timeout: 60_000 })
      await begun(b, before.begun + 1)
      await begun(d, 1)
      await d.destroy()
      assume(await open).equals('ECLOSED')
      assume(said(await there)).eql({ [d.address]: 'ECLOSED' })
      assume((await notes(d)).aborted).equals(1)
      await eventually(async () => (await notes(b)).aborted === before.aborted + 1)
    })

    it('to a server that is killed fail when it is found dead, and its own end', async () => {
      const d = await trio.another()
      await furnish(d)
      await trio.known(a, b, d)
      const before = await notes(b)
      d.run(
        (primus, to: string) => (primus as unknown as Within).metroplex.call('never', [], { to, timeout: 60_000 }),
        b.address
      ).catch(() => undefined)
      await begun(b, before.begun + 1)
      const there = call(a, 'never', [], { timeout: 15_000, to: [d.address] })
      await begun(d, 1)
      await d.kill()
      assume(said(await there)).eql({ [d.address]: 'EUNREACHABLE' })
      await eventually(async () => (await notes(b)).aborted === before.aborted + 1, { within: 10_000 })
    })

    it('go to the last known servers while Redis does not answer, within the deadline', async () => {
      trio.redis.pause()
      try {
        const { ms, value } = await elapsed(() => call(a, 'where', [], { timeout: 3000 }))
        assume(said(value)[a.address]).equals(a.address)
        assume(value.length).equals(3)
        if (transport === 'http') assume(said(value)[b.address]).equals(b.address)
        assume(ms).below(6000)
      } finally {
        trio.redis.resume()
      }
      await eventually(async () => (await call(a, 'where')).filter(({ ok }) => ok).length === 3, {
        within: 10_000,
        every: 100
      })
    })

    if (transport === 'http')
      it('to a server of 1.x fail for that server only', async () => {
        const old = await trio.another({}, { metroplex: '1.0.2', omega: true })
        await eventually(async () => ((await a.call('metroplex.servers')) as string[]).includes(old.address))
        assume(said(await call(a, 'where'))).eql({
          ...Object.fromEntries([a, b, c].map(({ address }) => [address, address])),
          [old.address]: 'EPROTOCOL'
        })
      })
  })
