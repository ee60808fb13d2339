import type { Forward } from '../lib/delivery/forward-api'
import type { Spark } from '../lib/common/types'
import type { Metroplex } from '../lib/api/metroplex'
import { assume } from './support/assume'
import { openClient, type Client } from './support/client'
import { namespace } from './support/namespace'
import { createPrimus, type CreatedPrimus } from './support/primus'
import type { SparkUnderTest } from './support/primus-types'
import { anyRedis } from './support/redis'
import { rejection } from './support/rejection'
import { startServer, type ServerProcess } from './support/server'
import { eventually, once } from './support/wait'

type Reply = (value?: unknown) => void

/** Have a client answer requests. */
function answering(client: Client, listener: (data: unknown, reply: Reply) => unknown): void {
  client.socket.on('request', (data, reply) => listener(data, reply as Reply))
}

type Emitting = SparkUnderTest & { on(event: string, listener: (data: unknown) => void): unknown }
type Seeing = typeof globalThis & { seen?: unknown[] }

/** Clients load our half unless they are plain. */
type Open = (server: ServerProcess, options?: { half?: boolean }) => Promise<Client>

describe('a request', function () {
  this.timeout(120_000)
  let redis: Awaited<ReturnType<typeof anyRedis>>
  before(async () => {
    redis = await anyRedis()
  })
  after(() => redis.stop())

  for (const [transport, transformer] of [
    ['http', 'websockets'],
    ['redis', 'sockjs']
  ] as const) {
    describe(`between servers that talk over ${transport}, to a client of ${transformer}`, () => {
      let a: ServerProcess
      let b: ServerProcess
      let c: ServerProcess
      before(async () => {
        const space = namespace()
        const server = (): Promise<ServerProcess> =>
          startServer({
            redis: { url: redis.url, namespace: space },
            primus: { transformer, metroplex: { transport } },
            scope: 'suite'
          })
        ;[a, b, c] = await Promise.all([server(), server(), server()])
        const settled = async (one: ServerProcess): Promise<boolean> =>
          ((await one.call('metroplex.servers')) as string[]).length === 2
        await eventually(async () => (await Promise.all([a, b, c].map(settled))).every(Boolean))
      })
      after(() => Promise.all([a, b, c].map(one => one.stop())))

      const open: Open = async (server, { half = true } = {}) => {
        const client = await openClient(server.url, { transformer, half })
        await eventually(async () => (await a.call('metroplex.spark', client.id)) === server.address)
        return client
      }

      it('is answered wherever the client is, with any value', async () => {
        const [near, far] = [await open(a), await open(b)]
        const values = [null, 0, '', false, 'text', [1, [2]], { deep: { er: [null] } }, 'x'.repeat(300_000)]
        for (const client of [near, far]) {
          answering(client, (data, reply) => {
            reply(data)
          })
          for (const value of values) assume(await a.call('forward.request', client.id, value)).eql(value)
        }
        assume([...near.messages, ...far.messages]).eql([])
      })

      it('is answered with nothing when the reply is empty', async () => {
        const client = await open(b)
        answering(client, (_data, reply) => {
          reply()
        })
        assume(await a.call('forward.request', client.id, 'well?')).equals(undefined)
      })

      it('gives its answer to a callback', async () => {
        const client = await open(b)
        answering(client, (_data, reply) => {
          reply('here')
        })
        assume(await a.callback('forward.request', client.id, 'well?')).equals('here')
        assume(await a.callback('forward.request', client.id, 'well?', { timeout: 4000 })).equals('here')
      })

      it('is answered by what a promise of a listener resolves to, also when that is late', async () => {
        const client = await open(b)
        answering(client, data => new Promise(resolve => setImmediate(resolve, { was: data })))
        assume(await a.call('forward.request', client.id, 1)).eql({ was: 1 })
      })

      it('fails when what listens at the client does', async () => {
        const client = await open(b)
        const listeners: [(data: unknown, reply: Reply) => unknown, RegExp][] = [
          [
            () => {
              throw new Error('thrown')
            },
            /could not answer: thrown/
          ],
          [() => Promise.reject(new Error('rejected')), /could not answer: rejected/],
          [
            (_data, reply) => {
              reply(new TypeError('replied'))
            },
            /could not answer: replied/
          ]
        ]
        let current: (data: unknown, reply: Reply) => unknown
        const refused = (): Promise<Error & { code?: unknown }> => rejection(a.call('forward.request', client.id, 1))
        assume((await refused()).message).matches(/no listener for 'request'/)
        answering(client, (data, reply) => current(data, reply))
        for (const [listener, sentence] of listeners) {
          current = listener
          const error = await refused()
          assume([error.name, error.code]).eql(['MetroplexError', 'EREMOTE'])
          assume(error.message).matches(sentence)
        }
      })

      it('waits no longer than its timeout, and drops later replies', async () => {
        const client = await open(b)
        const replies: Reply[] = []
        answering(client, (_data, reply) => {
          replies.push(reply)
        })
        await b.run((primus, id) => {
          const seen: unknown[] = ((globalThis as Seeing).seen = [])
          ;(primus.spark(id) as Emitting).on('data', data => {
            seen.push(data)
          })
        }, client.id)
        const error = await rejection(a.call('forward.request', client.id, 1, { timeout: 200 }))
        assume(error.code).equals('EDEADLINE')
        assume(error.message).matches(/the client of the spark .* did not reply within 200 ms/i)
        replies[0]?.('late')
        client.socket.write('after it')
        const seen = await eventually(async () => {
          const data = await b.run(() => (globalThis as Seeing).seen)
          return data?.length !== 0 && data
        })
        assume(seen).eql(['after it'])
        for (const one of [a, b])
          await eventually(async () => {
            const { asked, answering } = (await one.call('metroplex.stats')) as { asked: number; answering: number }
            return asked === 0 && answering === 0
          })
      })

      it('fails at once when the client goes away', async () => {
        const client = await open(b)
        answering(client, () => {
          client.socket.end()
        })
        const error = await rejection(a.call('forward.request', client.id, 1))
        assume(error.code).equals('EUNREACHABLE')
        assume(error.message).includes('went away before it replied')
      })

      it('to a client without the client half fails, and that client gets nothing', async () => {
        const [plain, beside] = [await open(b, { half: false }), await open(b)]
        answering(beside, (_data, reply) => {
          reply('beside')
        })
        answering(plain, (_data, reply) => {
          reply('plain')
        })
        const error = await rejection(a.call('forward.request', plain.id, 1))
        assume(error.code).equals('EUNREACHABLE')
        assume(error.message).includes('has not loaded the client half')
        assume(await a.call('forward.request', beside.id, 1)).equals('beside')
        await a.call('forward.spark', plain.id, 'a message')
        assume(await plain.next()).equals('a message')
        assume(plain.messages).eql(['a message'])
      })

      it('to an unknown spark fails with its code', async () => {
        assume((await rejection(a.call('forward.request', 'unknown', 1))).code).equals('ENOSPARK')
        assume((await rejection(a.callback('forward.request', 'unknown', 1))).code).equals('ENOSPARK')
      })

      it('is answered after the client has come back', async () => {
        const client = await open(b)
        answering(client, (data, reply) => {
          reply(data)
        })
        const opened = once(client.socket, 'open')
        await b.run((primus, id) => {
          primus.spark(id)?.end(undefined, { reconnect: true })
        }, client.id)
        await opened
        await client.identify()
        await eventually(async () => (await a.call('metroplex.spark', client.id)) === b.address)
        assume(await a.call('forward.request', client.id, 'again')).equals('again')
      })

      it('is one of a thousand at once, and gets its own answer', async () => {
        const clients = await Promise.all([a, b, c].map(server => open(server)))
        for (const client of clients)
          answering(client, (data, reply) => {
            setImmediate(reply, [client.id, data])
          })
        const wrong = await a.run(
          async (primus, ids) => {
            const { forward } = primus as unknown as { forward: Forward }
            const asked = Array.from({ length: 1000 }, (_, i) => ({ i, id: ids[i % ids.length] ?? '' }))
            const answers = await Promise.all(asked.map(({ i, id }) => forward.request(id, i)))
            return asked.filter(({ i, id }, at) => JSON.stringify(answers[at]) !== JSON.stringify([id, i])).length
          },
          clients.map(({ id }) => id)
        )
        assume(wrong).equals(0)
      })

      it('fails in time when the server that holds the client is destroyed', async () => {
        const client = await open(c)
        const asked = new Promise(resolve => answering(client, resolve))
        const failed = rejection(a.call('forward.request', client.id, 1, { timeout: 14_000 }))
        await asked
        await c.destroy()
        assume((await failed).code).equals('EUNREACHABLE')
        assume([a, b, c].flatMap(({ crashes }) => crashes)).eql([])
      })
    })
  }

  describe('to a client of this server', () => {
    let created: CreatedPrimus
    let forward: Forward
    let metroplex: Metroplex
    let replies: Metroplex['core']['clientReplies']
    before(async () => {
      created = await createPrimus({ redis: { url: redis.url, namespace: namespace() }, scope: 'suite' })
      const { primus } = created as unknown as { primus: { forward: Forward; metroplex: Metroplex } }
      forward = primus.forward
      metroplex = primus.metroplex
      replies = metroplex.core.clientReplies
      await primus.metroplex.ready()
    })
    after(() => created.dispose())

    const open = (): Promise<Client> => openClient(created.url, { half: true })

    it('refuses what it cannot mean, in a sentence', async () => {
      const client = await open()
      const wrong = (...args: unknown[]): Promise<Error & { code?: unknown }> =>
        rejection((forward.request as (...args: unknown[]) => Promise<unknown>)(...args))
      assume((await wrong('', 1)).message).matches(/a spark id must be a string that is not empty/)
      for (const [timeout, kind] of [
        [0, RangeError],
        [1.5, RangeError],
        ['soon', TypeError],
        [null, TypeError]
      ] as const) {
        const error = await wrong(client.id, 1, { timeout })
        assume(error).instanceOf(kind)
        assume(error.message).matches(
          /^metroplex: `timeout` must be a whole number of milliseconds, from 1 to 2147483647; given: .*\.$/
        )
      }
      assume((await wrong(client.id, 1, { patience: 1 })).message).matches(/the option `patience` is not known here/)
      assume((await wrong(client.id, undefined)).code).equals('EMESSAGE')
      assume((await wrong(client.id, Buffer.from('binary'))).code).equals('EMESSAGE')
    })

    it('reports whether the client may have got it', async () => {
      const [plain, away] = [await openClient(created.url), await open()]
      answering(away, () => {
        away.socket.end()
      })
      const maybe = async (id: string): Promise<unknown> =>
        ((await rejection(forward.request(id, 1))) as { maybe?: unknown }).maybe
      assume([await maybe(plain.id), await maybe(away.id)]).eql([false, true])
    })

    it('fails at once when the application disconnects the spark', async () => {
      const client = await open()
      answering(client, () => {
        metroplex.disconnect(created.primus.spark(client.id) as unknown as Spark)
      })
      const error = (await rejection(forward.request(client.id, 1))) as { code?: unknown; maybe?: unknown }
      assume([error.code, error.maybe]).eql(['EUNREACHABLE', true])
      assume(replies.size).equals(0)
    })

    it('gives up when its signal is aborted', async () => {
      const client = await open()
      const controller = new AbortController()
      answering(client, () => {
        controller.abort(new Error('enough'))
      })
      assume((await rejection(forward.request(client.id, 1, { signal: controller.signal }))).message).equals('enough')
      assume(replies.size).equals(0)
    })

    it('takes the first of several replies', async () => {
      const client = await open()
      const asked: unknown[] = []
      answering(client, (_data, reply) => {
        reply('first')
        reply('second')
      })
      answering(client, (data, reply) => {
        asked.push(data)
        reply('third')
      })
      assume([await forward.request(client.id, 1), await forward.request(client.id, 2)]).eql(['first', 'first'])
      assume(asked).eql([1, 2])
    })

    it('leaves nothing behind after ten thousand unanswered ones', async () => {
      const client = await open()
      answering(client, () => undefined)
      const settled = await Promise.allSettled(
        Array.from({ length: 10_000 }, (_, i) => forward.request(client.id, i, { timeout: 100 }))
      )
      assume(new Set(settled.map(one => one.status === 'rejected' && (one.reason as { code?: unknown }).code))).eql(
        new Set(['EDEADLINE'])
      )
      // Each side has a clock of its own.
      await eventually(() => replies.size === 0)
    })

    it('is answered by no other client, even one that knows the name of the request', async () => {
      const [asked, thief] = [await open(), await open()]
      const sent = new Promise<string>(resolve => {
        asked.socket.on('incoming::data', raw => {
          resolve(String(raw))
        })
      })
      const replied = new Promise<Reply>(resolve =>
        answering(asked, (_data, reply) => {
          resolve(reply)
        })
      )
      const answer = forward.request(asked.id, 'secret?')
      const {
        'metroplex::request': [, name]
      } = JSON.parse(await sent) as { 'metroplex::request': string[] }
      thief.socket.write({ 'metroplex::request': [name, 'forged'] })
      thief.socket.write({ 'metroplex::request': 'nonsense' })
      const heard = new Promise(resolve => (created.primus.spark(thief.id) as Emitting).on('data', resolve))
      thief.socket.write('all that was seen')
      assume(await heard).equals('all that was seen')
      const reply = await replied
      reply('genuine')
      assume(await answer).equals('genuine')
    })

    it('cannot be forged by another client whose message the application passes on', async () => {
      const [victim, attacker] = [await open(), await open()]
      const asked: unknown[] = []
      answering(victim, data => {
        asked.push(data)
      })
      const sent = new Promise<string>(resolve => {
        attacker.socket.on('incoming::data', raw => {
          resolve(String(raw))
        })
      })
      answering(attacker, (_data, reply) => {
        reply()
      })
      await forward.request(attacker.id, 'a harmless one')
      await forward.spark(victim.id, JSON.parse(await sent))
      assume(await victim.next()).is.an('object')
      assume(asked).eql([])
    })

    it('never shows its messages to clients of the application', async () => {
      const plain = await openClient(created.url)
      const message = { 'metroplex::request': ['word', 'name', 'value'] }
      await forward.spark(plain.id, message)
      assume(await plain.next()).eql(message)
      const heard = new Promise(resolve => (created.primus.spark(plain.id) as Emitting).on('data', resolve))
      plain.socket.write(message)
      assume(await heard).eql(message)
    })
  })
})
