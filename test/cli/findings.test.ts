import { once } from 'node:events'
import { mkdir } from 'node:fs/promises'
import { connect, createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { Keys } from '../../lib/registry/keys'
import { namespaces } from '../../lib/registry/sharding'
import { FINDING_CODES } from '../../lib/survey/findings/finding'
import { assume } from '../support/assume'
import { using } from '../support/dispose'
import { namespace } from '../support/namespace'
import { startProxy } from '../support/proxy'
import { startRedis, type RedisProcess } from '../support/redis'
import { createRegistered, type Registered } from '../support/registered'
import { sharedRedis } from '../support/shared-redis'
import { eventually } from '../support/wait'
import { at, metroplex } from './asked'

interface Finding {
  code: string
  what: string
  remedy: string
  servers: string[]
}

/** What only broken parts provoke. test/cli/doctor.test.ts provokes the other codes. */
const ELSEWHERE = [
  'eviction',
  'rights',
  'info',
  'clock',
  'no-servers',
  'versions',
  'leases',
  'v1',
  'mute',
  'unreachable',
  'misdirected',
  'secret',
  'names',
  'leftovers',
  'strays'
]

describe('metroplex doctor finds exactly what was broken:', function () {
  this.timeout(60_000)
  const shared = sharedRedis()
  const provoked = new Set(ELSEWHERE)

  const start = (primus: object = {}, redis: RedisProcess = shared.redis, name = 'web-1'): Promise<Registered> =>
    createRegistered({
      redis: { url: redis.url, namespace: shared.space },
      primus: { metroplex: { name, lease: 60_000, ...primus } }
    })

  /**
   * The findings of these codes, which are all that there are.
   *
   * @param also what servers may say of it as well, if they have noticed it yet
   */
  const finds = async (
    expected: readonly string[],
    url = shared.redis.url,
    also: readonly string[] = []
  ): Promise<Finding[]> => {
    const { code, json, stderr } = await metroplex(
      ['doctor', '--json', '--timeout', '10s', ...skipSlowness(expected)],
      at(url, shared.space)
    )
    assume(stderr).equals('')
    assume([0, 1].includes(code ?? -1)).true()
    const { findings: all } = json() as { findings: Finding[] }
    const findings = all.filter(finding => !also.includes(finding.code))
    assume([...new Set(findings.map(finding => finding.code))].sort()).eql([...expected].sort())
    for (const finding of findings) assume(finding.remedy.length).is.above(20)
    for (const one of expected) provoked.add(one)
    return findings
  }

  it('a Redis that is almost full', async () => {
    const redis = await startRedis()
    await start({}, redis)
    const client = redis.client()
    const used = Number(/used_memory:(\d+)/.exec(await client.info('memory'))?.[1])
    const limit = 60_000_000
    await client.set('ballast', Buffer.alloc(Math.round(0.92 * limit) - used))
    await client.config('SET', 'maxmemory', limit)
    await finds(['memory'], redis.url, ['health-warnings'])
  })

  it('a Redis that cannot save its data', async () => {
    const redis = await startRedis()
    await start({}, redis)
    // Its file cannot take the place of a directory.
    await mkdir(join(redis.directory, 'dump.rdb'))
    const client = redis.client()
    await client.bgsave()
    await eventually(async () => (await client.info('persistence')).includes('rdb_last_bgsave_status:err'))
    await finds(['persistence'], redis.url)
  })

  it('a Redis with almost as many clients as it allows', async () => {
    const redis = await startRedis()
    await start({}, redis)
    const clients = Array.from({ length: 36 }, () => redis.client())
    await Promise.all(clients.map(client => client.ping()))
    await clients[0]?.config('SET', 'maxclients', 42)
    await finds(['clients'], redis.url)
  })

  it('a Redis that answers slowly', async () => {
    await start()
    const proxy = await startProxy({ port: shared.redis.port })
    proxy.delay(100)
    await finds(['latency'], `redis://127.0.0.1:${proxy.port}`)
  })

  it('a Redis that is too old', async () => {
    await start()
    const port = await startElder(shared.redis.port)
    const [finding] = await finds(['redis-version'], `redis://127.0.0.1:${port}`)
    assume(finding?.what).matches(/^Redis is 5\./)
  })

  it('servers with different protocols', async () => {
    const server = await start()
    await start({}, shared.redis, 'web-2')
    await shared.redis.client().hset(new Keys(shared.space).life(server.address), 'protocol', '1')
    // It cannot be asked either.
    await finds(['protocols', 'unreachable'])
  })

  it('servers with different transports', async () => {
    await start()
    await start({}, shared.redis, 'web-2')
    await start({ transport: 'redis' }, shared.redis, 'web-3')
    // A server that has tried to reach a peer warns of it.
    const [finding] = await finds(['transports'], shared.redis.url, ['health-warnings'])
    assume(finding?.what).includes('http on 2 servers, redis on 1 server')
  })

  it('servers with different graces', async () => {
    await start({ grace: 1000 })
    await start({}, shared.redis, 'web-2')
    await finds(['graces'])
  })

  it('servers with different numbers of shards', async () => {
    const server = await start()
    await start({}, shared.redis, 'web-2')
    // A server that starts with another number is refused by the registry.
    Object.defineProperty(server.metroplex.core.settings, 'shards', { value: 2 })
    await finds(['shard-counts'])
  })

  it('a server that is not well, though it answers', async () => {
    const proxy = await startProxy({ port: shared.redis.port })
    const server = await createRegistered({
      redis: { url: `redis://127.0.0.1:${proxy.port}`, namespace: shared.space },
      primus: { metroplex: { name: 'web-1', lease: 60_000 } }
    })
    server.metroplex.on('error', () => undefined)
    await proxy.refuse()
    proxy.cut()
    await eventually(() => server.metroplex.stats().state === 'degraded')
    const [finding] = await finds(['health'])
    assume(finding?.servers).eql([server.address])
  })

  it('a peer that a server does not reach, as that server warns', async () => {
    const server = await start()
    const away = await createRegistered({
      redis: { url: shared.redis.url, namespace: shared.space },
      primus: { address: 'http://127.0.0.1:1', metroplex: { name: 'web-2', lease: 60_000 } }
    })
    const findings = await finds(['health-warnings', 'unreachable'])
    assume(findings.map(({ servers }) => servers).sort()).eql([[server.address], [away.address]].sort())
  })

  it('addresses that lead each machine to itself', async () => {
    const server = await start()
    await start({}, shared.redis, 'web-2')
    await shared.redis.client().hset(new Keys(shared.space).life(server.address), 'network', 'another machine')
    await finds(['networks'])
  })

  it('a server that is not in all registries', async () => {
    const server = await start({ shards: 2 })
    const [first = ''] = namespaces(shared.space, 2)
    await shared.redis.client().del(new Keys(first).lease(server.address))
    await finds(['partly-registered'], shared.redis.url, ['health', 'health-warnings'])
  })

  it('nothing in a healthy cluster, with shards and over Redis too', async () => {
    for (const terms of [{ shards: 4 }, { transport: 'redis' }]) {
      const space = namespace()
      await Promise.all(
        ['a', 'b'].map(name =>
          createRegistered({
            redis: { url: shared.redis.url, namespace: space },
            primus: { metroplex: { name, ...terms } }
          })
        )
      )
      const { code, stdout } = await metroplex(['doctor', '--skip', 'latency'], at(shared.redis.url, space))
      assume([terms, code]).eql([terms, 0])
      assume(stdout).matches(/^0 errors, 0 warnings, 0 notices.*: 2 live servers, 0 sparks looked at\.\n$/)
    }
  })

  it('each thing that it knows, in these tests and those of its own file', () => {
    assume([...provoked].sort()).eql(Object.keys(FINDING_CODES).sort())
  })
})

/** A busy machine is slow as well. */
function skipSlowness(expected: readonly string[]): string[] {
  return expected.includes('latency') ? [] : ['--skip', 'latency']
}

/** A Redis that says of itself that it is an older one. */
async function startElder(port: number): Promise<number> {
  const server = createServer(socket => {
    const redis = connect(port, '127.0.0.1')
    const end = (): void => {
      socket.destroy()
      redis.destroy()
    }
    socket.on('error', end).on('close', end)
    redis.on('error', end).on('close', end)
    socket.pipe(redis)
    redis.on('data', (data: Buffer) => {
      socket.write(data.toString('latin1').replace(/redis_version:\d/, 'redis_version:5'), 'latin1')
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  using(
    () =>
      new Promise<void>(resolve => {
        server.close(() => {
          resolve()
        })
      })
  )
  return (server.address() as AddressInfo).port
}
