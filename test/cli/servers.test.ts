import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { assume } from '../support/assume'
import { openClient } from '../support/client'
import { createRegistered } from '../support/registered'
import { startRedis } from '../support/redis'
import { sharedRedis } from '../support/shared-redis'
import { startServer } from '../support/server'
import { eventually } from '../support/wait'
import { at, metroplex, startCommand } from './asked'

interface Listed {
  servers: {
    address: string
    name: string | null
    state: string
    version: string
    sparks: number
    users: number | null
    beat: number | null
    error?: string
  }[]
  alive: number
  answering: number
  differences: { what: string; values: { value: string; servers: string[] }[] }[]
}

describe('the command metroplex servers', function () {
  this.timeout(60_000)
  const shared = sharedRedis()
  const here = (): NodeJS.ProcessEnv => at(shared.redis.url, shared.space)
  const registry = (): { url: string; namespace: string } => ({ url: shared.redis.url, namespace: shared.space })

  it('ends without a word when its reader has heard enough', async () => {
    for (const args of [['--help'], ['servers', '--watch', '0.2']]) {
      const command = startCommand(args, here())
      command.hangUp()
      const { code, stderr } = await command.ended
      assume({ code, stderr }).eql({ code: 0, stderr: '' })
    }
  })

  it('lists all servers with sums, as a table of 80 columns and as JSON', async () => {
    const [a, b] = await Promise.all(
      ['first', 'second'].map(name =>
        createRegistered({ redis: registry(), primus: { metroplex: { name, user: () => 'alice' } } })
      )
    )
    if (a === undefined || b === undefined) throw new Error('two servers were started')
    const clients = await Promise.all([openClient(a.url), openClient(a.url), openClient(b.url)])
    await eventually(async () => (await a.metroplex.count()) === clients.length)
    const table = await metroplex(['servers'], here())
    assume([table.code, table.stderr]).eql([0, ''])
    const lines = table.stdout.trimEnd().split('\n')
    assume(lines[0]).matches(/^NAME +ADDRESS +STATE +VERSION +SPARKS +USERS +BEAT$/)
    for (const [name, { address }, sparks] of [['first', a, 2] as const, ['second', b, 1] as const])
      assume(
        lines.some(line => new RegExp(`^${name} +${address} +ready +\\S+ +${sparks} +${sparks} +`).test(line))
      ).true()
    assume(lines[3]).matches(/^ +2 servers +3 +3$/)
    assume(Math.max(...lines.map(line => line.length)) <= 80).true()
    const { servers, alive, answering, differences } = (await metroplex(['servers', '--json'], here())).json() as Listed
    assume(servers.map(({ name, state }) => [name, state]).sort()).eql([
      ['first', 'ready'],
      ['second', 'ready']
    ])
    assume([alive, answering, differences]).eql([2, 2, []])
    // It is no server itself.
    assume((await a.metroplex.servers(true)).sort()).eql([a.address, b.address].sort())
  })

  it('marks a server that does not answer, and does not wait for it', async () => {
    const a = await startServer({ redis: registry() })
    const b = await startServer({ redis: registry() })
    b.pause()
    const { servers, alive, answering } = (
      await metroplex(['servers', '--json', '--timeout', '1s'], here())
    ).json() as Listed
    const states = Object.fromEntries(servers.map(({ address, state }) => [address, state]))
    assume(states).eql({ [a.address]: 'ready', [b.address]: 'mute' })
    assume([alive, answering]).eql([2, 1])
    assume(servers.find(({ address }) => address === b.address)?.error).includes(b.address)
    const short = await metroplex(['servers', '--expect', '2', '--timeout', '1s'], here())
    assume(short.code).equals(1)
    assume(short.stdout).includes('1 server of 2 expected.')
    b.resume()
    assume((await metroplex(['servers', '--expect', '2', '--timeout', '10s'], here())).code).equals(0)
  })

  it('shows a draining server, and one that was killed', async () => {
    const primus = { interval: 3000, latency: 500, metroplex: { lease: 1500 } }
    const a = await createRegistered({ redis: registry(), primus })
    await openClient(a.url)
    a.metroplex.drain({ timeout: 0 }).catch(() => undefined)
    const b = await startServer({ redis: registry(), primus })
    const state = async (address: string): Promise<string | undefined> =>
      ((await metroplex(['servers', '--json'], here())).json() as Listed).servers.find(one => one.address === address)
        ?.state
    assume(await state(a.address)).equals('draining')
    await b.kill()
    await eventually(async () => (await state(b.address)) === undefined, { within: 20_000, every: 100 })
  })

  it('shows what the keys tell of a server of 1.0.2, and that versions and leases differ', async () => {
    const old = await startServer({ redis: registry(), metroplex: '1.0.2', omega: true })
    const alone = (await metroplex(['servers', '--json'], here())).json() as Listed
    assume(alone.servers.map(({ address, state, version, users }) => [address, state, version, users])).eql([
      [old.address, 'up', '1.x', null]
    ])
    // It wrote nothing, as a client would that finds no secret.
    assume(await shared.redis.client().exists(`${shared.space}:secret`, `${shared.space}:layout`)).equals(0)
    for (const lease of [1000, 2000]) await startServer({ redis: registry(), primus: { metroplex: { lease } } })
    const { stdout } = await metroplex(['servers'], here())
    assume(stdout).matches(/^ +3 servers +X +0 +0$/m)
    assume(stdout).matches(/^X version differs: 2\S+ on 2 servers, 1\.x on 1 server$/m)
    assume(stdout).matches(/^X lease differs: \d000 on 1 server, \d000 on 1 server$/m)
  })

  it('reads all shards, without being told how many', async () => {
    const servers = await Promise.all(
      [0, 1].map(() => createRegistered({ redis: registry(), primus: { metroplex: { shards: 4 } } }))
    )
    const urls = servers.flatMap(({ url }) => Array.from({ length: 6 }, () => url))
    await Promise.all(urls.map(url => openClient(url)))
    await eventually(async () => (await servers[0]?.metroplex.count()) === 12)
    const { servers: listed } = (await metroplex(['servers', '--json'], here())).json() as Listed
    assume(listed.map(({ sparks, state }) => [sparks, state])).eql([
      [6, 'ready'],
      [6, 'ready']
    ])
  })

  it('repeats itself with --watch until it is ended, also while Redis is away', async () => {
    const redis = await startRedis()
    await createRegistered({ redis: { url: redis.url, namespace: shared.space } })
    const watch = startCommand(
      ['servers', '--watch', '0.2', '--timeout', '500ms', '--json'],
      at(redis.url, shared.space)
    )
    await watch.said(/(?:"alive":1[^]*){3}/)
    await redis.kill()
    await watch.said(/^\{"error":"[^"]*Redis[^"]*"\}$/m)
    await redis.restart()
    await watch.said(/"error"[^]*"alive":1/)
    watch.signal('SIGINT')
    assume((await watch.ended).code).equals(0)
  })

  it('escapes what a terminal would obey, and needs no colours', async () => {
    const name = '\u001b[1m\u202e'
    await createRegistered({ redis: registry(), primus: { metroplex: { name } } })
    const table = await metroplex(['servers'], here())
    assume(table.stdout).includes('\\x1b[1m\\u202e')
    const escaped = await metroplex(['servers', '--json'], here())
    assume(/[\u0000-\u0009\u001b\u202e]/.test(table.stdout + escaped.stdout)).false()
    assume((escaped.json() as Listed).servers[0]?.name).equals(name)
  })

  it('shows what a user of Redis sees who may only read, and says why no server was asked', async () => {
    await createRegistered({ redis: registry() })
    await shared.redis.user('reader', ['~*', '+@read', '+@connection', '+info', '+time'])
    const url = new URL(shared.redis.url)
    url.username = 'reader'
    url.password = 'secret'
    const answer = await metroplex(['servers', '--json'], at(url.href, shared.space))
    assume(answer.code).equals(0)
    const { servers, answering } = answer.json() as Listed
    assume([servers.length, servers[0]?.state, answering]).eql([1, 'up', 0])
    assume(servers[0]?.error).includes('NOPERM')
  })

  it('says in a sentence why Redis cannot be asked, and ends with 3', async () => {
    const { code, stdout, stderr } = await metroplex([
      'servers',
      '--redis',
      'redis://127.0.0.1:1',
      '--timeout',
      '300ms'
    ])
    assume([code, stdout]).eql([3, ''])
    assume(stderr).matches(/^Redis could not be reached within 300 ms: .*ECONNREFUSED.*\. Check --redis\.\n$/)
    const url = new URL(shared.redis.url)
    url.username = 'bob'
    url.password = 'wrong-password'
    const refused = await metroplex(['servers'], { REDIS_URL: url.href, METROPLEX_TIMEOUT: '2s' })
    assume(refused.code).equals(3)
    assume(refused.stderr).matches(/WRONGPASS.*Check REDIS_URL\.\n$/)
    assume(refused.stderr).does.not.include('wrong-password')
  })

  it('explains a wrong command line, asks nothing, and ends with 2', async () => {
    const wrong: [args: string[], sentence: RegExp][] = [
      [['server'], /unknown command 'server'\n\(Did you mean servers\?\)/],
      [['servers', '--expct', '2'], /unknown option '--expct'\n\(Did you mean --expect\?\)/],
      [['servers', '--expect', '0'], /It must be a whole number, 1 or more\./],
      [['servers', '--watch', 'now'], /It must be a number of seconds/],
      [['servers', '--redis', 'localhost:6379'], /^--redis does not say where Redis is: give it as redis:\/\//],
      [['servers', '--redis', 'sentinel://localhost'], /^--redis does not say where Redis is/],
      [['servers', '--timeout', '2'], /It must be a number and a unit/],
      [
        ['servers', '--secret-file', '/missing'],
        /^The secret file \/missing cannot be read .*: give another --secret-file/
      ],
      [
        ['servers', '--config', '/missing'],
        /^The configuration file \/missing cannot be read .*: give another --config/
      ]
    ]
    await Promise.all(
      wrong.map(async ([args, sentence]) => {
        const { code, stdout, stderr } = await metroplex(args)
        assume([args, code, stdout]).eql([args, 2, ''])
        assume(stderr).matches(sentence)
        assume(stderr).does.not.include('    at ')
      })
    )
  })

  it('prefers options to the environment, that to the configuration file, and that to the defaults', async () => {
    await createRegistered({ redis: registry() })
    const folder = shared.redis.directory
    const config = async (value: unknown): Promise<void> => {
      await writeFile(join(folder, 'metroplex.json'), JSON.stringify(value))
    }
    const found = async (args: string[], env: NodeJS.ProcessEnv): Promise<number> =>
      ((await metroplex(['servers', '--json', ...args], { XDG_CONFIG_HOME: folder, ...env })).json() as Listed).servers
        .length
    await config({ redis: shared.redis.url, namespace: shared.space })
    assume(await found([], {})).equals(1)
    assume(await found([], { METROPLEX_NAMESPACE: 'other' })).equals(0)
    assume(await found(['--namespace', shared.space], { METROPLEX_NAMESPACE: 'other' })).equals(1)
    await config({ redis: shared.redis.url, namspace: 'other' })
    const { code, stderr } = await metroplex(['servers'], { XDG_CONFIG_HOME: folder })
    assume(code).equals(2)
    assume(stderr).includes('Did you mean `namespace`?')
  })
})
