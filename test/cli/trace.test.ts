import { assume } from '../support/assume'
import { openClient } from '../support/client'
import { reservePort } from '../support/ports'
import { createRegistered, type Registered } from '../support/registered'
import { sharedRedis } from '../support/shared-redis'
import { startServer } from '../support/server'
import { startUpgradeless } from '../support/upgradeless'
import { eventually } from '../support/wait'
import { at, metroplex, type Answer } from './asked'

interface Step {
  step: string
  server?: string
  ok: boolean | null
  says: string
  took: number | null
  remedy?: string
}

interface Trace {
  ok: boolean
  steps: Step[]
}

describe('the command metroplex trace', function () {
  this.timeout(60_000)
  const shared = sharedRedis()
  const here = (): NodeJS.ProcessEnv => at(shared.redis.url, shared.space)
  const ask = (...args: string[]): Promise<Answer> => metroplex(args, here())

  const start = (name: string, primus: Record<string, unknown> = {}): Promise<Registered> =>
    createRegistered({
      redis: { url: shared.redis.url, namespace: shared.space },
      primus: {
        ...primus,
        metroplex: {
          name,
          user: (spark: { query: { user?: string } }) => spark.query.user,
          groups: () => ['news'],
          ...(primus['metroplex'] as object | undefined)
        }
      }
    })

  const trace = async (...args: string[]): Promise<Trace & { code: number | null }> => {
    const { code, json, stderr } = await ask('trace', '--json', ...args)
    assume(stderr).equals('')
    return { ...(json() as Trace), code }
  }
  const the = ({ steps }: Trace, step: string, server?: string): Step => {
    const found = steps.find(one => one.step === step && (server === undefined || one.server === server))
    if (found === undefined) throw new Error(`no step ${step} in ${JSON.stringify(steps)}`)
    return found
  }
  const shown = ({ steps }: Trace): unknown[] => steps.map(({ step, ok }) => [step, ok])

  it('follows a spark by its tag and its entry to its server, with the time of each step', async () => {
    const server = await start('web-1')
    const client = await openClient(server.url)
    await eventually(async () => (await server.metroplex.count()) === 1)
    const found = await trace('--spark', client.id)
    assume(shown(found)).eql(['registry', 'id', 'entry', 'server', 'answer', 'sparks'].map(step => [step, true]))
    assume([found.code, found.ok]).eql([0, true])
    assume(the(found, 'id').says).includes(`its tag names ${server.address}`)
    assume(the(found, 'entry').says).equals(`the registry has the spark on ${server.address}`)
    assume(the(found, 'answer').says).equals('answers, over a stream')
    assume(the(found, 'sparks').says).equals('holds 1 spark')
    for (const step of ['registry', 'entry', 'answer', 'sparks']) assume(the(found, step).took).is.above(0)
    const { stdout } = await ask('trace', '--spark', client.id)
    assume(stdout).matches(/^\+ answer {2} +\d\S* m?s {2}http:\S+ answers, over a stream$/m)
  })

  it('follows a user and a group to each server, over Redis too', async () => {
    const more = { metroplex: { transport: 'redis' } }
    const servers = [await start('web-1', more), await start('web-2', more)]
    for (const { url } of servers) await openClient(`${url}?user=alice`)
    await eventually(async () => (await servers[0]?.metroplex.groups('news'))?.[0]?.sparks === 2)
    await eventually(async () => (await servers[0]?.metroplex.user('alice'))?.length === 2)
    for (const target of [
      ['--user', 'alice'],
      ['--group', 'news']
    ]) {
      const found = await trace(...target)
      assume([target, found.code]).eql([target, 0])
      assume(the(found, 'entry').says).equals('the registry has 2 sparks on 2 servers')
      for (const { address } of servers) {
        assume(the(found, 'answer', address).says).equals('answers, over Redis')
        assume(the(found, 'sparks', address).says).equals('holds 1 spark')
      }
    }
  })

  it('says when single requests are used, because a proxy refuses streams', async () => {
    const port = await reservePort()
    const proxy = await startUpgradeless(port)
    const server = await startServer({
      redis: { url: shared.redis.url, namespace: shared.space },
      primus: { address: `http://127.0.0.1:${proxy.port}` },
      port
    })
    const client = await openClient(server.url)
    await eventually(async () => Number(await server.call('metroplex.count')) === 1)
    assume(the(await trace('--spark', client.id), 'answer').says).equals('answers, over single requests')
  })

  it('says what to do when there is no such spark, user or group', async () => {
    await start('web-1')
    for (const target of ['--spark', '--user', '--group']) {
      const found = await trace(target, 'nothing')
      assume([target, found.code, found.ok]).eql([target, 1, false])
      assume(the(found, 'entry').remedy?.length).is.above(20)
    }
  })

  it('says what to do when the server is mute, dead, or does not hold the spark', async () => {
    const mute = await startServer({ redis: { url: shared.redis.url, namespace: shared.space } })
    const client = await openClient(mute.url)
    await eventually(async () => Number(await mute.call('metroplex.count')) === 1)
    mute.pause()
    const late = await trace('--spark', client.id, '--timeout', '1s')
    mute.resume()
    assume(late.code).equals(1)
    assume(the(late, 'answer').remedy).includes('Look at that process')

    const server = await start('web-1')
    const redis = shared.redis.client()
    await redis.hset(`${shared.space}:sparks`, 'stale', server.address)
    const stale = await trace('--spark', 'stale')
    assume([stale.code, the(stale, 'sparks').says]).eql([1, 'holds 0 of 1 spark'])
    await redis.hset(`${shared.space}:sparks`, 'stray', 'http://127.0.0.1:1')
    const stray = await trace('--spark', 'stray')
    assume([stray.code, the(stray, 'server').says]).eql([1, 'is not the address of a server'])
    await redis.hdel(`${shared.space}:sparks`, 'stale', 'stray')
  })

  it('does not ask servers of 1.x, and says so', async () => {
    const old = await startServer({
      redis: { url: shared.redis.url, namespace: shared.space },
      metroplex: '1.0.2',
      omega: true
    })
    const client = await openClient(old.url)
    const redis = shared.redis.client()
    await eventually(async () => (await redis.hget(`${shared.space}:sparks`, client.id)) === old.address)
    const found = await trace('--spark', client.id)
    assume([found.code, the(found, 'answer').ok]).eql([0, null])
    assume(the(found, 'server').says).equals('is up, and runs metroplex 1.x')
  })

  it('needs one target', async () => {
    for (const args of [[], ['--spark', 'a', '--user', 'b']]) {
      const { code, stderr } = await ask('trace', ...args)
      assume([code, stderr]).eql([2, 'Say what to trace by one of --spark, --user and --group.\n'])
    }
  })
})
