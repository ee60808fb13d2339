import { assume } from '../support/assume'
import { openClient } from '../support/client'
import { createRegistered } from '../support/registered'
import { startRedis } from '../support/redis'
import { sharedRedis } from '../support/shared-redis'
import { startServer } from '../support/server'
import { eventually } from '../support/wait'
import { at, metroplex, startCommand } from './asked'

describe('the commands metroplex drain and metroplex watch', function () {
  this.timeout(90_000)
  const shared = sharedRedis()
  const here = (): NodeJS.ProcessEnv => at(shared.redis.url, shared.space)
  const registry = (): { url: string; namespace: string } => ({ url: shared.redis.url, namespace: shared.space })

  it('drain moves the sparks of a server elsewhere, says how many, and ends when it has left', async () => {
    const [a, b] = await Promise.all(
      ['web-1', 'web-2'].map(name => createRegistered({ redis: registry(), primus: { metroplex: { name } } }))
    )
    if (a === undefined || b === undefined) throw new Error('two servers were started')
    await Promise.all([1, 2, 3].map(() => openClient(a.url, { options: { strategy: false } })))
    await eventually(async () => (await b.metroplex.count()) === 3)
    const { code, stdout } = await metroplex(['drain', 'web-1', '--rate', '50', '--yes'], here())
    assume(code).equals(0)
    assume(stdout).matches(new RegExp(`^${a.address} drains: it has 3 sparks\\.\n`))
    assume(stdout).matches(new RegExp(`\n${a.address} has left: 3 sparks moved\\.\n$`))
    assume([a.metroplex.stats().state, a.metroplex.address]).eql(['draining', ''])
    assume(await b.metroplex.servers(true)).eql([b.address])
  })

  it('drain ends with 1 when sparks are left, and with --no-wait at once', async () => {
    const a = await createRegistered({ redis: registry(), primus: { metroplex: { name: 'web-1' } } })
    await openClient(a.url)
    await eventually(async () => (await a.metroplex.count()) === 1)
    const begun = await metroplex(['drain', 'web-1', '--for', '0s', '--no-wait', '--yes', '--json'], here())
    assume([begun.code, begun.json()]).eql([0, { address: a.address, state: 'draining', left: 1 }])
    const left = await metroplex(['drain', 'web-1', '--for', '0s', '--timeout', '1s', '--yes'], here())
    assume(left.code).equals(1)
    assume(left.stdout).includes(`1 spark left on ${a.address}: they stay.`)
  })

  it('is refused to a process that does not have the secret', async () => {
    const secret = 'a secret that is long enough'
    const a = await createRegistered({ redis: registry(), primus: { metroplex: { name: 'web-1', secret } } })
    const { code, stderr } = await metroplex(['drain', 'web-1', '--yes'], here())
    assume(code).equals(3)
    assume(stderr).includes('another secret than ours: give this command theirs, by --secret-file or METROPLEX_SECRET.')
    assume(a.metroplex.stats().state).equals('ready')
    const own = { ...here(), METROPLEX_SECRET: secret }
    assume((await metroplex(['drain', 'web-1', '--yes'], own)).code).equals(0)
  })

  it('watch tells of servers that join, drain, leave, die and are cleaned up', async () => {
    const primus = { interval: 3000, latency: 500, metroplex: { lease: 1500 } }
    const stays = await createRegistered({ redis: registry(), primus })
    const watch = startCommand(['watch', '--every', '0.2'], here())
    await watch.said(/^Watching 1 server\.$/m)
    const drains = await createRegistered({ redis: registry(), primus })
    await watch.said(
      new RegExp(`^\\d\\d:\\d\\d:\\d\\d  join +${drains.address} \\(.*\\)  version 2\\S+, sparks 0$`, 'm')
    )
    await openClient(drains.url)
    drains.metroplex.drain({ timeout: 0 }).catch(() => undefined)
    await watch.said(new RegExp(`  drain +${drains.address} \\(.*\\)  sparks 1$`, 'm'))
    await drains.metroplex.drain({ rate: 100 })
    await watch.said(new RegExp(`  leave +${drains.address} \\(.*\\)  why shutdown$`, 'm'))
    const dies = await startServer({ redis: registry(), primus })
    await openClient(dies.url)
    await eventually(async () => (await stays.metroplex.count()) === 1)
    await watch.said(new RegExp(`  join +${dies.address} `))
    await dies.kill()
    await watch.said(new RegExp(`  leave +${dies.address} \\(.*\\)  why \\w+$`, 'm'))
    await watch.said(new RegExp(`  reap +${stays.address} \\(.*\\)  sparks 1$`, 'm'))
    watch.signal('SIGTERM')
    assume((await watch.ended).code).equals(0)
  })

  it('watch goes on while Redis is away, and tells only what was asked for', async () => {
    const redis = await startRedis()
    await createRegistered({ redis: { url: redis.url, namespace: shared.space } })
    const env = at(redis.url, shared.space)
    const all = startCommand(['watch', '--every', '0.2', '--timeout', '500ms', '--only', 'registry', '--json'], env)
    // It has looked when a second process, started later, has.
    await startCommand(['watch', '--every', '0.2'], env).said(/^Watching 1 server\.$/m)
    await redis.kill()
    await all.said(/^\{"at":"[^"]+","event":"registry","address":"","name":"","state":"away","error":"[^"]+"\}$/m)
    await redis.restart()
    await all.said(/"state":"back"\}$/m)
    all.signal('SIGINT')
    const { stdout, code } = await all.ended
    assume([code, stdout.trim().split('\n').length]).eql([0, 2])
  })
})
