import type { Result } from '../../index'
import { assume } from '../support/assume'
import { openClient, type Client } from '../support/client'
import type { ServerProcess } from '../support/server'
import { eventually } from '../support/wait'
import { SLACK, type Ground } from './ground'
import { BRIEF, LAPSED, MISLED, NO_REDIS, REPAIRED, SLOW, UNREACHED, either } from './health'
import {
  counter,
  each,
  Flow,
  judge,
  numbersOf,
  pair,
  Passage,
  type Outcome,
  type Pair,
  type Transport
} from './passage'
import type { Row } from './row'

/** How long an operation may take here, in ms: longer than a few resets in a row. */
const TIMEOUT = 5000
const patient = { metroplex: { timeout: TIMEOUT, lease: 5000 } }

/** The id of the spark that a server gives next, so that another server may have the same. */
const sameId = (options: Record<string, unknown>): void => {
  options['idGenerator'] = () => (globalThis as { nextId?: string }).nextId ?? crypto.randomUUID()
}

/** How many of the messages of a burst came out of order; all have come, each once. */
function allOf({ messages }: Client, many: number): number {
  const { lost, doubled, disordered } = judge(messages, 'one', many)
  assume({ lost, doubled }).eql({ lost: [], doubled: [] })
  return disordered
}

/** The same id for each spark, however soon it comes: that server has one client. */
const constant = (options: Record<string, unknown>): void => {
  options['idGenerator'] = () => 'constant'
}

/** Give the next spark of a server that was prepared so this id. */
function nextId(server: ServerProcess, id: string): Promise<void> {
  return server.run((_primus, id: string) => {
    ;(globalThis as { nextId?: string }).nextId = id
  }, id)
}

/** Two servers between which something has passed; what goes between them goes through a proxy that may be harmed. */
async function acquainted(ground: Ground, transport: Transport): Promise<Pair & { harmed: Passage }> {
  const { a, b, client } = await pair(ground, transport, patient)
  assume(await a.server.call('forward.spark', client.id, ['first', 0])).eql({ ok: true, send: 1 })
  // Over Redis it is the sender's own connections that requests and answers go through.
  return { a, b, harmed: transport === 'http' ? b : a, client }
}

/** All that could be sent arrived once, in order; in per cent, and with the details in the error. */
async function once(client: Client, { sent, bad }: Outcome): Promise<number> {
  // Where the registry is cut off as well, it may be unknown where the spark is. Then nothing has left.
  assume(bad.filter(({ code, maybe }) => code !== 'EREGISTRY' || maybe)).eql([])
  assume(bad.length).is.below(1 + sent / 10)
  await client.count(1 + sent - bad.length)
  assume(judge(client.messages, 'm', sent, new Set(bad.map(({ n }) => n)))).eql({
    lost: [],
    doubled: [],
    disordered: 0
  })
  return (numbersOf(client.messages, 'm').length / (sent - bad.length)) * 100
}

/**
 * What health says while connections of a passage break. Over HTTP the second server is reached through it, also by
 * itself; over Redis the first one reaches Redis through it.
 */
const passing = (transport: Transport): Row['health'] =>
  transport === 'http'
    ? [
        { by: [1], reasons: MISLED, unless: BRIEF },
        { warnings: either(UNREACHED, SLOW), unless: BRIEF }
      ]
    : [
        { by: [0], reasons: either(NO_REDIS, REPAIRED, LAPSED) },
        { warnings: UNREACHED, unless: BRIEF }
      ]

/** Where the sender itself is cut off from Redis, messages may not leave at all. */
const named = (transport: Transport): string =>
  transport === 'http' ? '' : '; what could not leave, because the registry was cut off as well, is reported so'

export const order: readonly Row[] = [
  ...each((transport): Row => ({
    id: 'F8',
    fault: `connections are reset in the middle of batches`,
    promise: `each batch is retried under its number; every message is applied once and in order${named(transport)}`,
    measures: [
      { what: 'applied once, in order', unit: '%', atLeast: 100 },
      { what: 'longest', unit: 'ms', atMost: TIMEOUT }
    ],
    health: passing(transport),
    runs: 1,
    async provoke(ground) {
      const { a, b, harmed, client } = await acquainted(ground, transport)
      // Each costs two connections to Redis there.
      const resets = ground.long ? (transport === 'http' ? 1000 : 200) : 40
      const flow = await Flow.start(a.server, 'm', client.id, { callers: 8, unawaited: true })
      for (let i = 0; i < resets; i++) {
        const seen = client.messages.length
        await eventually(() => client.messages.length > seen, { within: TIMEOUT, every: 2 })
        harmed.proxy.cut()
      }
      const outcome = await flow.stop()
      const figure = await once(client, outcome)
      const [retried, repeated] = [await counter(a.server, 'retried'), await counter(b.server, 'repeated')]
      // Else nothing has been provoked.
      assume(retried).is.above(0)
      assume(repeated).is.above(0)
      ground.unharmed(a.server, b.server)
      return [figure, outcome.longest]
    }
  })),
  {
    id: 'F8',
    fault: 'the receiver is killed between applying and answering, and restarted on its address',
    promise: 'no message is applied twice; unknown outcomes are reported with `maybe: true`',
    measures: [{ what: 'reported after', unit: 'ms', atMost: TIMEOUT + SLACK }],
    health: [
      { by: [1, 2], reasons: MISLED, unless: BRIEF },
      { warnings: either(UNREACHED, SLOW), unless: BRIEF }
    ],
    async provoke(ground) {
      const a = await Passage.to(ground, 'http', patient)
      const b = await Passage.to(ground, 'http', patient, { prepare: constant })
      const client = await openClient(b.server.url)
      assume(client.id).equals('constant')
      await ground.settled(a.server, b.server)
      assume(await a.server.call('forward.spark', client.id, 'first')).eql({ ok: true, send: 1 })
      // Over Redis there is no telling its answers from what it asks the registry.
      b.proxy.freezeReplies()
      const began = performance.now()
      const sending = a.server.call('forward.spark', client.id, 'once') as Promise<Result>
      await client.count(2)
      await b.server.kill()
      b.proxy.cut()
      b.proxy.thaw()
      await b.start()
      const { ok, send, failed } = await sending
      const took = performance.now() - began
      assume({ ok, send }).eql({ ok: false, send: 0 })
      assume(failed?.map(({ address, maybe }) => ({ address, maybe }))).eql([{ address: b.address, maybe: true }])
      await eventually(async () => (await b.server.sparks()).includes('constant'), { within: 10_000 })
      await ground.settled(a.server, b.server)
      assume(((await a.server.call('forward.spark', client.id, 'last')) as Result).send).equals(1)
      await eventually(() => client.messages.at(-1) === 'last')
      assume(client.messages).eql(['first', 'once', 'last'])
      ground.sound(a.server, b.server)
      return [took]
    }
  },
  ...each((transport): Row => ({
    id: 'F9',
    // That a connection to Redis has become mute is noticed after `timeout`, and messages fail until then.
    fault: `the answer of a batch is lost with the connection${transport === 'http' ? ', or without' : ''}`,
    promise: `the batch is retried and answered without being applied again${named(transport)}`,
    measures: [
      { what: 'applied once, in order', unit: '%', atLeast: 100 },
      { what: 'longest', unit: 'ms', atMost: TIMEOUT }
    ],
    health: passing(transport),
    async provoke(ground) {
      const { a, b, harmed, client } = await acquainted(ground, transport)
      const flow = await Flow.start(a.server, 'm', client.id, { callers: 8 })
      for (let i = 0; i < (ground.long ? 20 : 4); i++) {
        const seen = client.messages.length
        await eventually(() => client.messages.length > seen, { within: TIMEOUT, every: 2 })
        const before = await counter(b.server, 'repeated')
        harmed.proxy.dropNextReply({ cut: transport === 'redis' || i % 2 === 0 })
        // Over Redis the next reply may be one of the registry's.
        if (transport === 'http')
          await eventually(async () => (await counter(b.server, 'repeated')) > before, { within: TIMEOUT })
      }
      const outcome = await flow.stop()
      const figure = await once(client, outcome)
      ground.unharmed(a.server, b.server)
      return [figure, outcome.longest]
    }
  })),
  ...each((transport): Row => ({
    id: 'F11',
    fault: `one spark is sent 100,000 messages at once, before its place is known`,
    promise: 'none out of order, none lost, with broadcasts in between',
    measures: [
      { what: 'inversions', unit: 'messages', atMost: 0 },
      { what: 'sent', unit: 'messages/s', atLeast: 1000, long: true }
    ],
    health: [],
    async provoke(ground) {
      const { a, b, c } = await crowded(ground, transport)
      const client = await openClient(b.url)
      await ground.settled(a, b, c)
      const many = ground.long ? 100_000 : 10_000
      const began = performance.now()
      const bad = await burst(a, client.id, many, 1000)
      assume(bad).eql({ failed: 0, missing: 0, codes: [] })
      await client.count(many + many / 1000, { within: 30_000 })
      const took = performance.now() - began
      assume(judge(client.messages, 'all', many / 1000)).eql({ lost: [], doubled: [], disordered: 0 })
      const disordered = allOf(client, many)
      ground.unharmed(a, b, c)
      return [disordered, (many / took) * 1000]
    }
  })),
  ...each((transport): Row => ({
    id: 'F11',
    fault: 'a spark that has just moved is sent 100,000 messages at once',
    promise: 'none out of order, none lost',
    measures: [{ what: 'inversions', unit: 'messages', atMost: 0 }],
    health: [{ reasons: REPAIRED, unless: BRIEF }],
    async provoke(ground) {
      const { a, b, c, client: before } = await moving(ground, transport)
      assume(await a.call('forward.spark', 'mover', 'before')).eql({ ok: true, send: 1 })
      const after = await openClient(c.url)
      await eventually(async () => (await ground.entries()).get('mover') === c.address)
      await before.close()
      const many = ground.long ? 100_000 : 10_000
      assume(await burst(a, 'mover', many, 0)).eql({ failed: 0, missing: 0, codes: [] })
      await after.count(many, { within: 30_000 })
      const disordered = allOf(after, many)
      ground.sound(a, b, c)
      return [disordered]
    }
  })),
  ...each((transport): Row => ({
    id: 'F11',
    fault: 'a spark moves back and forth while it is sent 100,000 messages',
    promise: 'none out of order, none doubled; each that did not arrive is reported',
    measures: [{ what: 'inversions', unit: 'messages', atMost: 0 }],
    health: [{ reasons: REPAIRED, unless: BRIEF }],
    async provoke(ground) {
      const { a, b, c, client: first } = await moving(ground, transport)
      let client = first
      const many = ground.long ? 100_000 : 10_000
      const flow = await Flow.start(a, 'm', 'mover', { callers: 200, pause: 0 })
      const clients = [client]
      for (let i = 0; i < 4; i++) {
        const seen = client.messages.length
        await eventually(() => client.messages.length > seen, { within: 10_000 })
        const next = await openClient((i % 2 === 0 ? c : b).url)
        clients.push(next)
        // The old one is late to go.
        await eventually(() => next.messages.length > 0, { within: 10_000 })
        await client.close()
        client = next
      }
      await eventually(async () => (await flow.sent()) >= many, { within: 30_000 })
      const { sent, bad } = await flow.stop()
      const good = sent - bad.length
      await eventually(() => clients.reduce((sum, { messages }) => sum + messages.length, 0) >= good, {
        within: 10_000
      })
      let inversions = 0
      let last = -1
      const seen = new Set<number>()
      const doubled: number[] = []
      for (const { messages } of clients) {
        for (const n of numbersOf(messages, 'm')) {
          if (seen.has(n)) doubled.push(n)
          seen.add(n)
          if (n < last) inversions++
          last = Math.max(n, last)
        }
      }
      const excused = new Set(bad.map(({ n }) => n))
      const lost = Array.from({ length: sent }, (_, n) => n).filter(n => !excused.has(n) && !seen.has(n))
      const denied = bad.filter(({ n, maybe }) => !maybe && seen.has(n)).map(({ n }) => n)
      // Denied: it has come, though it was reported that it had not.
      assume({ doubled, lost, denied }).eql({ doubled: [], lost: [], denied: [] })
      ground.sound(a, b, c)
      return [inversions]
    }
  }))
]

interface Trio {
  readonly a: ServerProcess
  readonly b: ServerProcess
  readonly c: ServerProcess
}

/** Three servers that may have very much waiting. */
async function crowded(ground: Ground, transport: Transport): Promise<Trio> {
  const options = { metroplex: { transport, timeout: 30_000, lease: 15_000, maxQueue: { messages: 300_000 } } }
  const [a, b, c] = await Promise.all([0, 1, 2].map(() => ground.start(options, { prepare: sameId })))
  if (a === undefined || b === undefined || c === undefined) throw new Error('there are three')
  return { a, b, c }
}

/** The same, and the first of the clients of the second and third one whose spark is `mover`. */
async function moving(ground: Ground, transport: Transport): Promise<Trio & { readonly client: Client }> {
  const { a, b, c } = await crowded(ground, transport)
  for (const server of [b, c]) await nextId(server, 'mover')
  const client = await openClient(b.url)
  await ground.settled(a, b, c)
  return { a, b, c, client }
}

/** Send a spark very many messages at once, and a broadcast after every so many; what came of them. */
function burst(
  server: ServerProcess,
  id: string,
  many: number,
  every: number
): Promise<{ failed: number; missing: number; codes: string[] }> {
  return server.run(
    async (primus, id: string, many: number, every: number) => {
      type Answer = { ok: boolean; missing?: string[]; failed?: { code: string }[] }
      const { forward } = primus as unknown as {
        forward: { spark(id: string, msg: unknown): Promise<Answer>; broadcast(msg: unknown): Promise<Answer> }
      }
      const all: Promise<Answer>[] = []
      for (let n = 0; n < many; n++) {
        all.push(forward.spark(id, ['one', n]))
        if (every > 0 && n % every === 0) all.push(forward.broadcast(['all', n / every]))
      }
      const answers = await Promise.all(all)
      return {
        failed: answers.filter(({ failed }) => failed !== undefined).length,
        missing: answers.filter(({ missing }) => missing !== undefined).length,
        codes: [...new Set(answers.flatMap(({ failed }) => failed?.map(({ code }) => code) ?? []))]
      }
    },
    id,
    many,
    every
  )
}
