import { assume } from '../support/assume'
import { openClient } from '../support/client'
import { createRegistered, type Registered } from '../support/registered'
import { sharedRedis } from '../support/shared-redis'
import { startServer } from '../support/server'
import { eventually } from '../support/wait'
import { at, metroplex } from './asked'

describe('the commands that find sparks', function () {
  this.timeout(60_000)
  const shared = sharedRedis()
  const here = (): NodeJS.ProcessEnv => at(shared.redis.url, shared.space)
  const registry = (): { url: string; namespace: string } => ({ url: shared.redis.url, namespace: shared.space })

  const start = (shards = 1): Promise<Registered> =>
    createRegistered({
      redis: registry(),
      primus: {
        metroplex: {
          name: 'web-1',
          shards,
          user: (spark: { query: { user?: string } }) => spark.query.user,
          groups: () => ['news', 'sport'],
          info: { app: 'ios' }
        }
      }
    })

  it('spark tells its server, and what that knows of it', async () => {
    const server = await start()
    const { id } = await openClient(`${server.url}?user=alice`)
    await eventually(async () => (await server.metroplex.user('alice')).length === 1)
    const { code, stdout } = await metroplex(['spark', id], here())
    assume(code).equals(0)
    for (const line of [
      `spark +${id}`,
      `server +${server.address} \\(web-1\\)`,
      'user +alice',
      'groups +news, sport',
      'connected +\\d+ seconds? ago',
      'transport +websockets',
      'info +{"app":"ios"}'
    ])
      assume(stdout).matches(new RegExp(`^${line}$`, 'm'))
    const found = (await metroplex(['spark', id, '--json'], here())).json() as {
      address: string
      user: string
      alive: boolean
    }
    assume([found.address, found.user, found.alive]).eql([server.address, 'alice', true])
    const none = await metroplex(['spark', 'un\u0007known'], here())
    assume([none.code, none.stdout]).eql([1, 'No server holds the spark un\\x07known: it has gone.\n'])
  })

  it('spark shows what the registry knows of a spark whose server does not answer, or runs 1.0.2', async () => {
    const mute = await startServer({ redis: registry() })
    const old = await startServer({ redis: registry(), metroplex: '1.0.2', omega: true })
    const clients = await Promise.all([openClient(mute.url), openClient(old.url)])
    await eventually(async () =>
      (
        (await mute.call(
          'metroplex.sparks',
          clients.map(({ id }) => id)
        )) as unknown[]
      ).every(Boolean)
    )
    mute.pause()
    for (const [i, server] of [mute, old].entries()) {
      const { code, stdout } = await metroplex(['spark', clients[i]?.id ?? '', '--timeout', '1s'], here())
      assume(code).equals(0)
      assume(stdout).matches(new RegExp(`^server +${server.address}`, 'm'))
      assume(stdout.trimEnd().split('\n').at(-1)).includes(server.address)
    }
    mute.resume()
  })

  it('user lists the sparks of a user, at most --limit', async () => {
    const server = await start(4)
    await Promise.all([1, 2, 3].map(() => openClient(`${server.url}?user=alice`)))
    await eventually(async () => (await server.metroplex.user('alice')).length === 3)
    const all = (await metroplex(['user', 'alice', '--json'], here())).json() as {
      total: number
      sparks: { groups: string[] }[]
    }
    assume([all.total, all.sparks.map(({ groups }) => groups.length)]).eql([3, [2, 2, 2]])
    assume((await metroplex(['user', 'alice', '--limit', '2'], here())).stdout).matches(/^2 of 3 sparks$/m)
    const none = await metroplex(['user', 'bob'], here())
    assume([none.code, none.stdout]).eql([1, 'The user bob has no sparks.\n'])
  })

  it('group lists the servers of a group, and with --sparks its sparks', async () => {
    const servers = await Promise.all([start(), start()])
    await Promise.all(servers.map(({ url }) => openClient(`${url}?user=alice`)))
    await eventually(async () => (await servers[0].metroplex.groups('news'))[0]?.sparks === 2)
    const table = await metroplex(['group', 'news', '--sparks'], here())
    assume(table.stdout).matches(/^2 servers +2$/m)
    assume(table.stdout).matches(/^SPARK +USER +ADDRESS\n(\S+ +alice +http\S+\n){2}2 sparks$/m)
    assume((await metroplex(['group', 'none'], here())).code).equals(1)
  })

  it('sparks lists all sparks, page by page, or those of one server', async () => {
    const [a, b] = await Promise.all([start(2), start(2)])
    const clients = await Promise.all([a, a, a, b, b].map(({ url }) => openClient(url)))
    const ids = clients.map(({ id }) => id).sort()
    await eventually(async () => (await a.metroplex.count()) === 5)
    const found: string[] = []
    let next: string | null = ''
    do {
      const page: { sparks: { spark: string }[]; next: string | null } = (
        await metroplex(['sparks', '--json', '--limit', '2', ...(next === '' ? [] : ['--from', next])], here())
      ).json() as typeof page
      assume(page.sparks.length <= 2).true()
      found.push(...page.sparks.map(({ spark }) => spark))
      next = page.next
    } while (next !== null)
    assume(found.sort()).eql(ids)
    const lines = (await metroplex(['sparks', '--all', '--server', b.address], here())).stdout.trimEnd().split('\n')
    assume(lines.sort()).eql([clients[3], clients[4]].map(one => `${one?.id}\t${b.address}`).sort())
    const unknown = await metroplex(['sparks', '--server', b.address.slice(0, -1)], here())
    assume(unknown.code).equals(2)
    assume(unknown.stderr).matches(/^No server is registered as .* Did you mean http/)
  })
})
