import { tracingChannel } from 'node:diagnostics_channel'
import { AsyncLocalStorage } from 'node:async_hooks'
import { assume } from './support/assume'
import { openClient, type Client } from './support/client'
import { using } from './support/dispose'
import { createRegistered, type Registered } from './support/registered'
import { rejection } from './support/rejection'
import { sharedRedis } from './support/shared-redis'
import { eventually } from './support/wait'

type Traced = Record<string, unknown>

/** What is told on a channel: the object of each event, by the event. */
function listen(name: string): Record<'start' | 'end' | 'asyncStart' | 'asyncEnd' | 'error', Traced[]> {
  const told = { start: [], end: [], asyncStart: [], asyncEnd: [], error: [] } as ReturnType<typeof listen>
  const note =
    (event: keyof typeof told) =>
    (context: object): void => {
      told[event].push(context as Traced)
    }
  const channel = tracingChannel<unknown, object>(`metroplex:${name}`)
  const subscribers = {
    start: note('start'),
    end: note('end'),
    asyncStart: note('asyncStart'),
    asyncEnd: note('asyncEnd'),
    error: note('error')
  }
  channel.subscribe(subscribers)
  using(() => {
    channel.unsubscribe(subscribers)
  })
  return told
}

describe('tracing channels', () => {
  const shared = sharedRedis()
  let a: Registered
  let b: Registered
  let client: Client

  beforeEach(async () => {
    const start = (): Promise<Registered> =>
      createRegistered({
        redis: { url: shared.redis.url, namespace: shared.space },
        primus: { metroplex: { groups: () => ['news'], user: () => 'alice' } }
      })
    a = await start()
    b = await start()
    client = await openClient(b.url)
    await eventually(async () => (await a.metroplex.groups('news'))[0]?.sparks === 1)
    await eventually(async () => (await a.metroplex.user('alice')).length === 1)
  })

  it('tell of each forward, with its result', async () => {
    const told = listen('forward')
    const ids = [client.id, 'gone']
    await a.forward.spark(client.id, 'secret words')
    await a.forward.sparks(ids, 'secret words')
    await a.forward.except(ids, 'secret words')
    await a.forward.user('alice', 'secret words')
    await a.forward.group(['news', 'none'], 'secret words')
    await a.forward.broadcast('secret words')
    await new Promise(resolve => a.forward(b.address, 'secret words', resolve))
    assume(told.start.map(({ method, targets }) => [method, targets])).eql([
      ['spark', 1],
      ['sparks', 2],
      ['except', 2],
      ['user', 1],
      ['group', 2],
      ['broadcast', 0],
      ['servers', 1]
    ])
    assume(told.asyncEnd.map(({ result }) => (result as { send: number }).send)).eql([1, 1, 0, 1, 1, 1, 1])
    assume(told.asyncEnd.every((context, i) => context === told.start[i])).true()
    assume(told.error).eql([])
    assume(JSON.stringify(told)).does.not.include('secret')
  })

  it('tell of a forward that fails', async () => {
    const told = listen('forward')
    const error = await rejection(a.forward.spark('', 'x'))
    assume(told.error.map(context => context['error'])).eql([error])
  })

  it('tell of what another server has sent for sparks, and not of what ends them', async () => {
    const told = listen('deliver')
    await a.forward.spark(client.id, 'secret words')
    await a.forward.broadcast('secret words')
    await a.forward.group('news', 'secret words')
    await a.metroplex.end([client.id])
    const from = a.metroplex.core.gateway.nodeId
    assume(told.end.map(({ to, targets, from: sender }) => [to, targets, sender])).eql([
      ['some', 1, from],
      ['all', 0, from],
      ['group', 1, from]
    ])
    assume(told.end.map(({ result }) => (result as { send: number }).send)).eql([1, 1, 1])
    assume(JSON.stringify(told)).does.not.include('secret')
  })

  it('tell of calls and their answers, without arguments', async () => {
    const [asked, answered] = [listen('call'), listen('answer')]
    b.metroplex.method('load', () => 5)
    a.metroplex.method('load', () => {
      throw new Error('no')
    })
    await a.metroplex.call('load', ['secret words'])
    await a.metroplex.first('load', ['secret words'])
    await a.metroplex.apply(client.id, 'load', ['secret words'])
    assume(asked.start.map(({ how, method }) => [how, method])).eql([
      ['call', 'load'],
      ['first', 'load'],
      ['apply', 'load']
    ])
    const remote = answered.start.filter(({ local }) => local === false)
    assume(remote.map(({ kind, name, from }) => [kind, name, from])).eql([
      ['call', 'load', a.address],
      ['call', 'load', a.address],
      ['call', 'load', a.address]
    ])
    assume(answered.error.filter(({ local }) => local === true).length).equals(2)
    await rejection(a.metroplex.apply(client.id, 'unknown'))
    // A method that is not registered is refused, and not answered.
    assume([asked.error.length, answered.start.some(({ name }) => name === 'unknown')]).eql([1, false])
    assume(JSON.stringify([asked, answered])).does.not.include('secret')
  })

  it('tell of events and of requests to clients', async () => {
    const [published, requested, answered] = [listen('publish'), listen('request'), listen('answer')]
    b.metroplex.subscribe('moved', () => undefined)
    await a.metroplex.publish('moved', 'secret words')
    await rejection(a.forward.request(client.id, 'secret words', { timeout: 100 }))
    assume(published.start.map(({ type }) => type)).eql(['moved'])
    assume(requested.start.map(({ spark }) => spark)).eql([client.id])
    assume(requested.error.length).equals(1)
    assume(answered.start.map(({ kind, name }) => [kind, name])[0]).eql(['event', 'moved'])
    assume(JSON.stringify([published, requested, answered])).does.not.include('secret')
  })

  it('can run the work of an operation in a store', async () => {
    const storage = new AsyncLocalStorage<string>()
    const channel = tracingChannel<string, { name: string }>('metroplex:answer')
    channel.start.bindStore(storage, ({ name }) => `answers ${name}`)
    using(() => {
      channel.start.unbindStore(storage)
    })
    const seen: unknown[] = []
    b.metroplex.method('load', () => {
      seen.push(storage.getStore())
    })
    await a.metroplex.apply(client.id, 'load')
    assume(seen).eql(['answers load'])
  })

  it('change nothing for the caller', async () => {
    listen('forward')
    const { ok, send } = await a.forward.spark(client.id, 'first')
    assume([ok, send]).eql([true, 1])
    await new Promise<void>((resolve, reject) => {
      a.forward.spark(client.id, 'second', (error, result) => {
        if (error !== null || result?.send !== 1) reject(new Error('not sent'))
        else resolve()
      })
    })
    assume([await client.next(), await client.next()]).eql(['first', 'second'])
  })
})
