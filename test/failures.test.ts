import { FailureReports } from '../lib/reporting/failure-reports'
import { kindOf, MetroplexError } from '../lib/common/errors'
import { ReportedFailures } from '../lib/redis/refusal'
import { Redis } from 'ioredis'
import { assume } from './support/assume'
import { member } from './support/member'
import { namespace } from './support/namespace'
import { startProxy } from './support/proxy'
import { startRedis } from './support/redis'
import { createRegistered } from './support/registered'
import { eventually, once } from './support/wait'

const ADDRESS = 'http://10.0.0.5:8080'

/** What Redis answers, as ioredis has it. */
const reply = (message: string): Error => Object.assign(new Error(message), { name: 'ReplyError' })
const refused = (message: string): MetroplexError =>
  new MetroplexError('EREGISTRY', `Redis refused a command: ${message}`, { cause: reply(message) })

describe('the kind of an error', () => {
  const kinds: [error: Error, kind: string][] = [
    [
      refused('MISCONF Redis is configured to save RDB snapshots. script: 9954, on @user_script:1.'),
      'EREGISTRY MISCONF'
    ],
    [
      refused(
        'ERR Error running script (call to f_9954): @user_script:5: @user_script: 5: -MISCONF Redis is configured'
      ),
      'EREGISTRY MISCONF'
    ],
    [refused("-OOM command not allowed when used memory > 'maxmemory'."), 'EREGISTRY OOM'],
    [refused("NOPERM this user has no permissions to run the 'hscan' command"), 'EREGISTRY NOPERM'],
    [new MetroplexError('EREGISTRY', 'Redis did not answer beat within 500 ms.'), 'EREGISTRY'],
    [
      new MetroplexError('EREGISTRY', 'It is down', {
        cause: Object.assign(new Error('connect'), { code: 'ECONNREFUSED' })
      }),
      'EREGISTRY ECONNREFUSED'
    ],
    [reply('WRONGPASS invalid username-password pair'), 'ReplyError WRONGPASS'],
    [Object.assign(new Error('gone'), { code: 'ENOENT' }), 'ENOENT'],
    [new TypeError('odd'), 'TypeError'],
    [new Error('odd'), 'Error']
  ]
  for (const [error, kind] of kinds) {
    it(`is ${kind} for "${error.message.slice(0, 60)}"`, () => {
      assume(kindOf(error)).equals(kind)
    })
  }
})

describe('a failure in the background', () => {
  let told: string[]
  let failures: FailureReports

  beforeEach(() => {
    told = []
    failures = new FailureReports(error => {
      told.push(error.message)
    })
  })

  it('is reported once while it lasts, with any text of Redis', () => {
    for (let i = 0; i < 5; i++) failures.failed('one', 'beat', refused(`MISCONF script: ${i}`))
    assume(told.length).equals(1)
  })

  it('is reported once, whichever tasks and parts it concerns', () => {
    for (const part of ['one', 'two'])
      for (const task of ['beat', 'heal']) failures.failed(part, task, refused('MISCONF'))
    assume(told.length).equals(1)
  })

  it('is reported again after it has worked', () => {
    const { failed, worked } = failures.of('one', 'beat', 'memory')
    failed(refused('MISCONF'), 'beat')
    failed(refused('MISCONF'), 'heal')
    worked('beat')
    worked('heal')
    failed(refused('MISCONF'), 'beat')
    assume(told.length).equals(2)
  })

  it('is not reported again while its task fails, though others work', () => {
    const { failed, worked } = failures.of('one', 'beat', 'memory')
    for (let i = 0; i < 5; i++) {
      failed(refused(`NOPERM ${i}`), 'audit')
      worked('beat')
      worked('sweep')
    }
    assume(told.length).equals(1)
  })

  it('does not hide one of another kind, nor the same kind of a task that worked before', () => {
    const { failed, worked } = failures.of('one', 'beat', 'memory')
    failed(new MetroplexError('EREGISTRY', 'late audit'), 'audit')
    worked('beat')
    failed(new MetroplexError('EREGISTRY', 'late beat'), 'beat')
    failed(refused('MISCONF'), 'beat')
    assume(told).eql(['late audit', 'late beat', 'Redis refused a command: MISCONF'])
  })

  it('is reported once for all shards, until it works in the one that reported it', () => {
    const [one, two] = [failures.of('one', 'beat', 'memory'), failures.of('two', 'beat', 'memory')]
    for (let i = 0; i < 3; i++) {
      for (const { failed, worked } of [one, two]) {
        worked('beat')
        failed(refused('OOM'), 'memory')
      }
    }
    assume(told.length).equals(1)
    for (const { worked } of [two, one]) worked('memory')
    two.failed(refused('OOM'), 'memory')
    assume(told.length).equals(2)
  })

  it('is always reported when it belongs to no task', () => {
    const { failed } = failures.of('one', 'beat', 'memory')
    for (let i = 0; i < 2; i++) failed(new Error('EADDRESS'))
    assume(told.length).equals(2)
  })
})

describe('a connection to Redis that breaks again and again', () => {
  const TRANSPORTS = [
    ['http', 'one error'],
    ['redis', 'one error for each of its connections']
  ] as const
  for (const [transport, what] of TRANSPORTS) {
    it(`is ${what} with the transport '${transport}', and the state follows each time`, async () => {
      const redis = await startRedis()
      const proxy = await startProxy({ port: redis.port })
      const { metroplex } = await createRegistered({
        redis: { url: `redis://127.0.0.1:${proxy.port}`, namespace: namespace() },
        primus: { metroplex: { transport } }
      })
      const errors: string[] = []
      metroplex.on('error', ({ message }) => {
        errors.push(message)
      })
      await metroplex.ready()
      for (let cut = 0; cut < 10; cut++) {
        const back = once(metroplex, 'state', { filter: state => state === 'ready' })
        proxy.cut()
        await back
      }
      const connections = new Set(errors)
      assume(errors).has.length(connections.size)
      assume(connections.size).equals(transport === 'redis' ? 2 : 1)
    })
  }

  it('is a new failure once all has worked for a while', async () => {
    const reported = new ReportedFailures(50)
    const lost = (): string => reported.judge(new Error('It broke.'), false)
    assume([lost(), lost()]).eql(['new', 'known'])
    reported.worked()
    assume(lost()).equals('again')
    await eventually(
      () => {
        const judged = lost()
        reported.worked()
        return judged === 'new'
      },
      { every: 60 }
    )
  })

  it('is a new failure when Redis says why', () => {
    const reported = new ReportedFailures()
    const lost = (message: string): string => reported.judge(new Error(message), false)
    assume([lost('It broke.'), lost('WRONGPASS'), lost('It broke.'), lost('WRONGPASS')]).eql([
      'new',
      'new',
      'known',
      'known'
    ])
    reported.worked()
    assume(lost('WRONGPASS')).equals('new')
  })
})

describe('a heal', () => {
  const LEASE = 3000

  it('that loses its life reports nothing itself: the beat that finds the new holder does', async () => {
    const redis = await startRedis()
    const [client, link, space] = [redis.client(), await startProxy({ port: redis.port }), namespace()]
    const one = member(new Redis(link.port, { lazyConnect: true }), space, ADDRESS, { metroplex: { lease: LEASE } })
    for (let i = 0; i < 20_000; i++)
      one.connect({ id: `spark-${i}`, readyState: 1, write: () => true, end: () => null })
    await one.ready()
    const sparks = `${space}:${ADDRESS}:sparks`
    await eventually(async () => (await client.scard(sparks)) === 20_000)
    const errors: Error[] = []
    one.on('error', error => {
      errors.push(error)
    })
    // The comparison of all sparks takes some seconds then.
    link.delay(30)
    await client.flushall()
    await eventually(async () => (await client.scard(sparks)) > 0, { within: 2 * LEASE })
    await client.hset(`${space}:${ADDRESS}:life`, 'id', 'another')
    await eventually(() => errors.length > 0, { within: LEASE })
    assume(errors.map(error => (error as { code?: unknown }).code)).eql(['EADDRESS'])
    const { reasons } = await one.health()
    assume(reasons.join(' ')).includes('is not registered')
    assume(reasons.join(' ')).does.not.include('repaired')
  })
})
