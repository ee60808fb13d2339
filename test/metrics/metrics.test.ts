import { Redis } from 'ioredis'
import { createClient, type Metroplex } from '../../index'
import { metrics, metricsHandler, type MeasuredProcess } from '../../lib/metrics'
import { COUNTERS } from '../../lib/reporting/stats'
import { assume } from '../support/assume'
import { openClient } from '../support/client'
import { using } from '../support/dispose'
import { member } from '../support/member'
import { createRegistered, type Registered } from '../support/registered'
import { rejection } from '../support/rejection'
import { sharedRedis } from '../support/shared-redis'
import { startRedis } from '../support/redis'
import { eventually } from '../support/wait'
import { ask } from './ask'
import { parse, promtool, valueOf, WITHOUT_PROMTOOL } from './parse'

describe('the metrics', () => {
  const shared = sharedRedis()

  const server = (primus: Record<string, unknown> = {}): Promise<Registered> =>
    createRegistered({ redis: { url: shared.redis.url, namespace: shared.space }, primus })

  it('of a server are those of `stats()`', async () => {
    const { metroplex, forward, address } = await server({ metroplex: { user: () => 'alice' } })
    const peer = member(shared.redis.client(), shared.space, 'http://127.0.0.1:1')
    await peer.ready()
    const client = await openClient(address)
    await eventually(() => {
      const { waiting, sparks, peers } = metroplex.stats()
      return waiting === 0 && sparks === 1 && peers === 1
    })
    await forward.spark(client.id, 'hello')
    await forward.spark('nothing', 'hello')
    metroplex.method('load', () => 1)
    metroplex.method('throws', () => {
      throw new Error('on purpose')
    })
    for (const name of ['load', 'load', 'throws']) await metroplex.call(name, [], { to: address })
    const text = await metrics(metroplex)
    const { sparks, peers, counters } = metroplex.stats()
    assume([sparks, peers]).eql([1, 1])
    const found = {
      metroplex_sparks: sparks,
      metroplex_peers: peers,
      metroplex_sparks_connected_total: counters.connects,
      metroplex_messages_delivered_total: 1,
      metroplex_messages_missing_total: 1,
      metroplex_redis_up: 1,
      metroplex_lease_seconds: 15
    }
    for (const [name, value] of Object.entries(found)) assume(valueOf(text, name)).equals(value, name)
    for (const [outcome, count] of Object.entries({ delivered: 1, missing: 1, failed: 0 }))
      assume(valueOf(text, 'metroplex_forward_duration_seconds_count', { outcome })).equals(count, outcome)
    const calls = (method: string, outcome: string): number =>
      valueOf(text, 'metroplex_call_duration_seconds_count', { method, outcome })
    assume([calls('load', 'ok'), calls('load', 'failed'), calls('throws', 'ok'), calls('throws', 'failed')]).eql([
      2, 0, 0, 1
    ])
    assume(valueOf(text, 'metroplex_commit_duration_seconds_count')).equals(counters.commits)
    const left = valueOf(text, 'metroplex_lease_remaining_seconds')
    assume(left > 0 && left <= 15).is.true(String(left))
    assume(valueOf(text, 'metroplex_info', { role: 'server', address, name: metroplex.name })).equals(1)
    for (const one of ['metroplex_process_cpu_seconds_total', 'metroplex_event_loop_active_seconds_total'])
      assume(valueOf(text, one)).is.above(0)
    assume(valueOf(text, 'metroplex_process_resident_memory_bytes')).is.above(1e6)
    assume(text).does.not.include(client.id)
    assume(text).does.not.include('alice')
  })

  it('have each state of a server as 0 or 1', async () => {
    const { metroplex } = await server()
    const states = async (): Promise<Record<string, number>> => {
      const family = parse(await metrics(metroplex)).find(({ name }) => name === 'metroplex_state')
      return Object.fromEntries(family?.samples.map(({ labels, value }) => [labels['state'] ?? '', value]) ?? [])
    }
    assume(await states()).eql({ connecting: 0, ready: 1, degraded: 0, draining: 0 })
    await metroplex.drain({ timeout: 0 })
    assume(await states()).eql({ connecting: 0, ready: 0, degraded: 0, draining: 1 })
  })

  it('count failures of forwards by code, and errors by code from the first one', async () => {
    const { metroplex, forward } = await server({ metroplex: { timeout: 1000 } })
    const failures = async (code: string): Promise<number> =>
      valueOf(await metrics(metroplex), 'metroplex_forward_failures_total', { code })
    const before = await Promise.all(['EUNREACHABLE', 'EDEADLINE'].map(failures))
    assume(before).eql([0, 0])
    const peer = member(shared.redis.client(), shared.space, 'http://127.0.0.1:1')
    await peer.ready()
    await eventually(() => metroplex.stats().peers === 1)
    const { failed } = await forward.broadcast('hello')
    // On a busy machine the deadline may come before the refusal of the connection.
    const code = failed?.[0]?.code ?? ''
    assume(['EUNREACHABLE', 'EDEADLINE']).includes(code)
    assume(await failures(code)).equals(1)
    const errors = async (code: string): Promise<number> =>
      valueOf(await metrics(metroplex), 'metroplex_errors_total', { code })
    assume(await errors('EREGISTRY')).equals(0)
    metroplex.tell('error', Object.assign(new Error('of the application'), { code: 'ANYTHING' }) as never)
    assume(await errors('other')).equals(1)
    assume(metroplex.stats().counters.errors).equals(1)
  })

  it('of a client are those that it has', async () => {
    const client = createClient({ redis: shared.redis.client(), namespace: shared.space })
    using(() => client.close())
    const text = await metrics(client)
    assume(valueOf(text, 'metroplex_info', { role: 'client' })).equals(1)
    assume(valueOf(text, 'metroplex_queued_messages')).equals(0)
    for (const none of ['metroplex_state', 'metroplex_sparks', 'metroplex_beat_duration', 'metroplex_lease'])
      assume(text).does.not.include(none)
  })

  it('are there before a server is registered, while Redis is away, and after the end', async () => {
    const redis = await startRedis()
    await redis.kill()
    const client = new Redis(redis.port)
    client.on('error', () => undefined)
    using(() => client.disconnect())
    const one = member(client, shared.space, 'http://one:1')
    const text = await metrics(one)
    assume(valueOf(text, 'metroplex_state', { state: 'connecting' })).equals(1)
    assume(valueOf(text, 'metroplex_redis_up')).equals(0)
    assume(valueOf(text, 'metroplex_lease_remaining_seconds')).equals(0)
    await one.close()
    assume(valueOf(await metrics(one), 'metroplex_sparks')).equals(0)
  })

  it('get the labels of the application', async () => {
    const { metroplex } = await server()
    const families = parse(await metrics(metroplex, { labels: { cluster: 'a "b"\\\n' } }))
    const labels = families.flatMap(({ samples }) => samples.map(({ labels }) => labels['cluster']))
    assume(new Set(labels)).eql(new Set(['a "b"\\\n']))
  })

  it('refuse what is no server or client, and wrong options, in a sentence', async () => {
    const { metroplex, primus } = await server()
    for (const wrong of [undefined, null, 1, 'a', {}, primus, { core: {} }]) {
      assume(await rejection(metrics(wrong as unknown as MeasuredProcess))).matches(
        /^TypeError: metroplex: metrics are those of a server, .+; given: .+\.$/
      )
      assume(() => metricsHandler(wrong as unknown as MeasuredProcess)).throws(/^metroplex: metrics are those/)
    }
    for (const wrong of [null, [], { label: {} }, { labels: 1 }, { labels: { code: 'x' } }, { openMetrics: 1 }])
      assume(await rejection(metrics(metroplex, wrong as never))).matches(/^TypeError: metroplex: .+[.?]$/)
    assume(() => metricsHandler(metroplex, { openMetrics: true } as never)).throws(/`openMetrics` is not known/)
  })

  it('are answered to scrapers in the format that they prefer', async () => {
    const { metroplex } = await server()
    const handler = metricsHandler(metroplex, { labels: { cluster: 'a' } })
    const plain = await ask(handler)
    assume(plain.status).equals(200)
    assume(plain.headers['content-type']).equals('text/plain; version=0.0.4; charset=utf-8')
    assume(parse(plain.body).length).is.above(30)
    const open = await ask(handler, 'GET', { accept: 'application/openmetrics-text;version=1.0.0,text/plain;q=0.5' })
    assume(open.headers['content-type']).equals('application/openmetrics-text; version=1.0.0; charset=utf-8')
    assume(open.body.endsWith('\n# EOF\n')).is.true()
    // OpenMetrics names families of counters otherwise; the samples have the same names.
    const samples = (text: string): string[] =>
      parse(text).flatMap(({ samples }) => samples.map(({ name, labels }) => `${name} ${Object.keys(labels).join()}`))
    assume(samples(open.body)).eql(samples(plain.body))
    const head = await ask(handler, 'HEAD')
    assume([head.status, head.body, Number(head.headers['content-length']) > 1000]).eql([200, '', true])
    const post = await ask(handler, 'POST')
    assume([post.status, post.headers.allow]).eql([405, 'GET, HEAD'])
  })

  it('are answered in Fastify, whose requests and responses are its own', async () => {
    const { metroplex } = await server()
    const handler = metricsHandler(metroplex)
    let hijacked = 0
    const { body } = await ask((raw, response) => {
      handler({ raw }, { raw: response, hijack: () => hijacked++ })
    })
    assume(valueOf(body, 'metroplex_sparks')).equals(0)
    assume(hijacked).equals(1)
  })

  it(`pass promtool${WITHOUT_PROMTOOL}`, async () => {
    if (WITHOUT_PROMTOOL !== '') return
    const { metroplex } = await server()
    metroplex.method('load "it"', () => 1)
    await metroplex.call('load "it"')
    await promtool(['check', 'metrics'], await metrics(metroplex, { labels: { cluster: 'a' } }))
  })

  it('export each counter of `stats()`, or its histogram', async () => {
    const { metroplex } = await server()
    const one = metroplex as unknown as { core: Metroplex['core'] }
    const { stats } = one.core
    const before = await metrics(metroplex)
    // Each of these is a count of a histogram, or of a family by code.
    const elsewhere = ['beats', 'commits', 'heals', 'forwards', 'failed', 'errors']
    for (const counter of COUNTERS.filter(name => !elsewhere.includes(name))) stats.count(counter, 1e9)
    const grown = parse(await metrics(metroplex)).filter(({ samples }) =>
      samples.some(({ value }) => value >= 1e9 && value < 1.1e9)
    )
    assume(parse(before).length).is.above(40)
    assume(grown.length).equals(COUNTERS.length - elsewhere.length)
  })
})
