import { writeFile, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { assume } from '../support/assume'
import { httpAsk } from '../support/dashboard'
import { using } from '../support/dispose'
import { reservePort } from '../support/ports'
import { createRegistered } from '../support/registered'
import { sharedRedis } from '../support/shared-redis'
import { eventually } from '../support/wait'
import { at, metroplex, startCommand } from './asked'

interface Servers {
  readonly head: {
    readonly environment: string
    readonly readOnly: boolean
    readonly redis: { readonly state: string }
  }
  readonly servers: readonly { readonly name: string }[]
}

describe('the command metroplex dashboard', function () {
  this.timeout(60_000)
  const shared = sharedRedis()

  it('serves the page until it is ended', async () => {
    await createRegistered({
      redis: { url: shared.redis.url, namespace: shared.space },
      primus: { metroplex: { name: 'web-1' } }
    })
    const command = startCommand(
      ['dashboard', '--port', '0', '--environment', 'staging', '--read-only'],
      at(shared.redis.url, shared.space)
    )
    const [, url = ''] = await command.said(/^The page is at (http:\/\/127\.0\.0\.1:\d+\/)$/m)
    assume((await httpAsk(url)).body).includes('<title>metroplex</title>')
    const { head, servers } = JSON.parse((await httpAsk(`${url}api/servers`)).body) as Servers
    assume([head.environment, head.readOnly, servers.map(({ name }) => name)]).eql(['staging', true, ['web-1']])
    command.signal('SIGINT')
    const { code, stderr } = await command.ended
    assume([code, stderr]).eql([0, ''])
  })

  it('starts while Redis is away', async () => {
    const redis = `redis://127.0.0.1:${await reservePort()}`
    const command = startCommand(['dashboard', '--port', '0', '--json', '--redis', redis, '--timeout', '300ms'])
    const [line] = await command.said(/^\{"url":"[^"]+"\}$/m)
    const { url } = JSON.parse(line) as { url: string }
    await eventually(async () => {
      const { head } = JSON.parse((await httpAsk(`${url}api/servers`)).body) as Servers
      return head.redis.state === 'away'
    })
    command.signal('SIGTERM')
    assume((await command.ended).code).equals(0)
  })

  it('needs a token where other machines reach it', async () => {
    const refused = await metroplex(['dashboard', '--host', '0.0.0.0', '--port', '0'])
    assume(refused.code).equals(2)
    assume(refused.stderr).equals(
      'Other machines reach 0.0.0.0, and access to this page is access to the cluster: give --token-file or ' +
        'METROPLEX_DASHBOARD_TOKEN.\n'
    )
    const folder = await mkdtemp(join(tmpdir(), 'metroplex-token-'))
    using(() => rm(folder, { recursive: true }))
    const file = join(folder, 'token')
    await writeFile(file, 'a token of some length\n')
    const token = 'a token of some length'
    for (const [args, env] of [
      [['--token-file', file], {}],
      [[], { METROPLEX_DASHBOARD_TOKEN: token }]
    ] as [string[], NodeJS.ProcessEnv][]) {
      const command = startCommand(['dashboard', '--host', '0.0.0.0', '--port', '0', ...args], {
        ...at(shared.redis.url, shared.space),
        ...env
      })
      const [, port = ''] = await command.said(/^The page is at http:\/\/0\.0\.0\.0:(\d+)\/$/m)
      const url = `http://127.0.0.1:${port}/api/servers`
      assume((await httpAsk(url)).status).equals(401)
      assume((await httpAsk(url, { headers: { authorization: `Bearer ${token}` } })).status).equals(200)
      command.signal('SIGINT')
      await command.ended
    }
  })

  it('explains a wrong command line, and ends with 2', async () => {
    const wrong: [args: string[], sentence: RegExp][] = [
      [['--port', '70000'], /must be a port: a whole number from 0 to 65535/],
      [
        ['--token-file', '/not/there'],
        /^The token file \/not\/there cannot be read \(.*\): give another --token-file\.$/m
      ],
      [['--allow-host', 'http://a'], /`hosts` must be an array of names/],
      [['--host', '203.0.113.1', '--port', '0'], /^Other machines reach 203\.0\.113\.1/]
    ]
    for (const [args, sentence] of wrong) {
      const { code, stderr } = await metroplex(['dashboard', ...args])
      assume([code, stderr]).eql([2, stderr])
      assume(stderr).matches(sentence)
    }
    const taken = await metroplex(['dashboard', '--port', String(shared.redis.port)])
    assume(taken.code).equals(2)
    assume(taken.stderr).matches(/^The page cannot listen on 127\.0\.0\.1:\d+ \(.*EADDRINUSE.*\): give another --port/)
  })
})
