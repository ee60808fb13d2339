import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { COMMANDS } from '../../lib/registry/inspection/required-commands'
import { assume } from '../support/assume'
import { openClient } from '../support/client'
import { createRegistered } from '../support/registered'
import { startRedis } from '../support/redis'
import { documentedRights } from '../support/rights'
import { sharedRedis } from '../support/shared-redis'
import { startServer } from '../support/server'
import { eventually } from '../support/wait'
import { at, metroplex } from './asked'

interface Finding {
  code: string
  severity: string
  what: string
  remedy: string
  servers: string[]
}

interface Diagnosis {
  ok: boolean
  findings: Finding[]
  skipped: number
}

describe('the command metroplex doctor', function () {
  this.timeout(90_000)
  const shared = sharedRedis()
  const registry = (): { url: string; namespace: string } => ({ url: shared.redis.url, namespace: shared.space })
  const here = (): NodeJS.ProcessEnv => at(shared.redis.url, shared.space)

  const diagnose = async (args: string[] = [], env = here()): Promise<Diagnosis & { code: number | null }> => {
    const { code, json, stderr } = await metroplex(['doctor', '--json', ...args], env)
    assume(stderr).equals('')
    return { ...(json() as Diagnosis), code }
  }
  /** What is found. On a busy machine Redis may be slow, in truth. */
  const codes = ({ findings }: Diagnosis): string[] =>
    [...new Set(findings.map(({ code }) => code))].filter(code => code !== 'latency').sort()
  const the = ({ findings }: Diagnosis, code: string): Finding => {
    const finding = findings.find(one => one.code === code)
    if (finding === undefined) throw new Error(`no ${code} in ${JSON.stringify(findings)}`)
    return finding
  }

  it('finds nothing in a healthy cluster, and ends with 0', async () => {
    await Promise.all(['a', 'b'].map(name => createRegistered({ redis: registry(), primus: { metroplex: { name } } })))
    const { code, stdout } = await metroplex(['doctor', '--timeout', '10s'], here())
    assume([code, stdout]).eql([0, '0 errors, 0 warnings, 0 notices: 2 live servers, 0 sparks looked at.\n'])
  })

  it('finds settings of Redis that endanger the registry, and rights that lack', async () => {
    const redis = await startRedis({ args: ['--maxmemory', '100mb', '--maxmemory-policy', 'allkeys-lru'] })
    await createRegistered({ redis: { url: redis.url, namespace: shared.space } })
    const evicting = await diagnose([], at(redis.url, shared.space))
    assume([evicting.code, codes(evicting)]).eql([1, ['eviction']])
    assume(the(evicting, 'eviction').what).includes('allkeys-lru')
    // The servers warn of the same thing: it is told once.
    assume(evicting.findings.filter(({ code }) => code !== 'latency').length).equals(1)

    await redis.user('limited', [...documentedRights(shared.space), '-hset', '-smembers', '+smembers'])
    const url = new URL(redis.url)
    url.username = 'limited'
    url.password = 'secret'
    const limited = await diagnose(['--skip', 'eviction'], at(url.href, shared.space))
    assume(codes(limited)).eql(['rights'])
    assume(the(limited, 'rights').what).includes('may not run hset on keys')
    assume(limited.skipped).equals(1)
    await redis.user('scriptless', [...documentedRights(shared.space), '-eval'])
    url.username = 'scriptless'
    assume(the(await diagnose([], at(url.href, shared.space)), 'rights').what).includes('may not run eval on')
    await redis.user('blind', [...documentedRights(shared.space), '-info'])
    url.username = 'blind'
    assume(codes(await diagnose([], at(url.href, shared.space)))).eql(['info'])
  })

  it('knows the rights that docs/keys.md lists', () => {
    const listed = documentedRights('metroplex').filter(right => right.startsWith('+'))
    assume([...COMMANDS.map(command => `+${command}`), '+info', '+client', '+ping'].sort()).eql(listed.sort())
  })

  it('finds servers that do not answer, are not there, or have another secret', async () => {
    await createRegistered({ redis: registry() })
    const mute = await startServer({ redis: registry() })
    mute.pause()
    const away = await startServer({ redis: registry(), primus: { address: 'http://127.0.0.1:1' } })
    const diagnosis = await diagnose(['--timeout', '1s'])
    assume(diagnosis.code).equals(1)
    assume(the(diagnosis, 'mute').servers).eql([mute.address])
    assume(the(diagnosis, 'unreachable').servers).eql([away.address])
    for (const { what, remedy } of diagnosis.findings) assume(what.length > 20 && remedy.length > 20).true()
    mute.resume()
    const stranger = await createRegistered({
      redis: registry(),
      primus: { metroplex: { secret: 'a secret that is long enough' } }
    })
    assume(the(await diagnose(['--timeout', '3s']), 'secret').servers).eql([stranger.address])
  })

  it('tells many findings of one kind as one, with all their servers', async () => {
    await createRegistered({ redis: registry() })
    const ports = [1, 2, 3, 4, 5]
    for (const port of ports)
      await createRegistered({ redis: registry(), primus: { address: `http://127.0.0.1:${port}` } })
    const { servers, what } = the(await diagnose(['--skip', 'health-warnings', '--skip', 'names']), 'unreachable')
    assume([...servers].sort()).eql(ports.map(port => `http://127.0.0.1:${port}`))
    assume(what).includes('There are 4 more findings of this kind')
  })

  it('finds an address that leads to another server', async () => {
    const a = await createRegistered({ redis: registry() })
    const b = await createRegistered({ redis: registry() })
    const wrong = a.address.replace('127.0.0.1', 'localhost')
    await b.metroplex.register(wrong)
    const { findings } = await diagnose()
    const about = findings.filter(({ servers }) => servers.includes(wrong))
    assume(about.map(({ code, severity }) => [code, severity])).eql([
      ['misdirected', 'error'],
      ['names', 'notice']
    ])
    assume(about[0]?.what).includes(wrong)
  })

  it('finds unequal servers, wrong clocks, and servers of 1.0.2', async () => {
    const primus = (lease: number): Record<string, unknown> => ({ interval: 30_000, metroplex: { lease } })
    const a = await startServer({ redis: registry(), primus: primus(3000) })
    const b = await startServer({ redis: registry(), primus: primus(6000), clockShift: 75_000 })
    const old = await startServer({ redis: registry(), metroplex: '1.0.2', omega: true })
    const diagnosis = await diagnose()
    assume(codes(diagnosis)).includes('leases')
    assume(the(diagnosis, 'leases').what).matches(/in lease: \d000 on 1 server, \d000 on 1 server/)
    assume(the(diagnosis, 'clock').what).matches(new RegExp(`${b.address} is 1 minute ahead of that of Redis`))
    assume(diagnosis.findings.filter(({ code }) => code === 'clock').length).equals(1)
    assume(the(diagnosis, 'v1').servers).eql([old.address])
    assume(the(diagnosis, 'versions').severity).equals('notice')
    assume(a.address).is.not.equal(b.address)
  })

  it('finds what dead servers left, and sparks at addresses without a server', async () => {
    const none = await diagnose()
    assume([none.code, codes(none)]).eql([1, ['no-servers']])
    const a = await startServer({ redis: registry(), primus: { interval: 30_000, metroplex: { lease: 1000 } } })
    const client = await openClient(a.url, { options: { strategy: false } })
    await eventually(async () => (await a.call('metroplex.count')) === 1)
    await a.kill()
    await eventually(async () => !(await shared.redis.client().exists(`${shared.space}:${a.address}:lease`)))
    await shared.redis.client().hset(`${shared.space}:sparks`, 'stray', 'http://127.0.0.9:9')
    const diagnosis = await diagnose()
    assume(codes(diagnosis)).eql(['leftovers', 'no-servers', 'strays'])
    const { severity, servers } = the(diagnosis, 'leftovers')
    assume([severity, servers]).eql(['warning', [a.address]])
    assume(the(diagnosis, 'strays').servers).eql(['http://127.0.0.9:9'])
    await client.close()
  })

  it('prints each finding with what to do, saves all of it, and skips codes', async () => {
    const file = join(shared.redis.directory, 'doctor.json')
    const { code, stdout } = await metroplex(['doctor', '--save', file, '--skip', 'latency'], here())
    assume(code).equals(1)
    assume(stdout).matches(
      /^error {2}no-servers\n {2}No server is alive[^]*\n {2}To do: Start servers[^]*\n\n1 error, /
    )
    assume(stdout.split('\n').every(line => line.length <= 80)).true()
    const saved = JSON.parse(await readFile(file, 'utf8')) as { findings: Finding[]; redis: unknown[]; at: string }
    assume(saved.findings.map(one => one.code)).eql(['no-servers'])
    assume(saved.redis.length).equals(1)
    assume((await stat(file)).mode & 0o777).equals(0o600)
    const skipped = await metroplex(['doctor', '--skip', 'no-servers', '--timeout', '10s'], here())
    assume([skipped.code, skipped.stdout]).eql([
      0,
      '0 errors, 0 warnings, 0 notices, 1 finding skipped: 0 live servers, 0 sparks looked at.\n'
    ])
    const wrong = await metroplex(['doctor', '--skip', 'no-server'], here())
    assume(wrong.code).equals(2)
    assume(wrong.stderr).includes('Did you mean no-servers?')
  })
})
