import { spawn } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { MethodContext } from '../../index'
import { assume } from '../support/assume'
import { openClient, type Client } from '../support/client'
import { using } from '../support/dispose'
import { killAtExit } from '../support/orphans'
import { createRegistered, type Registered } from '../support/registered'
import { sharedRedis } from '../support/shared-redis'
import { startServer } from '../support/server'
import { eventually, once } from '../support/wait'
import { at, metroplex, type Answer } from './asked'

/** How many sparks are in the group of all, as the registry says. */
async function placed(servers: readonly Registered[]): Promise<number | undefined> {
  const [found] = (await servers[1]?.metroplex.groups('news')) ?? []
  return found?.sparks
}

describe('the commands that reach servers and sparks', function () {
  this.timeout(60_000)
  const shared = sharedRedis()
  const here = (): NodeJS.ProcessEnv => at(shared.redis.url, shared.space)
  const ask = (...args: string[]): Promise<Answer> => metroplex(args, here())

  const start = (name: string, more: object = {}): Promise<Registered> =>
    createRegistered({
      redis: { url: shared.redis.url, namespace: shared.space },
      primus: {
        metroplex: {
          name,
          user: (spark: { query: { user?: string } }) => spark.query.user,
          groups: () => ['news'],
          ...more
        }
      }
    })

  /** Two servers, alice on both, and bob on the second one. */
  const cluster = async (more: object = {}): Promise<{ servers: Registered[]; clients: Client[] }> => {
    const servers = await Promise.all([start('web-1', more), start('web-2', more)])
    const users = ['alice', 'alice', 'bob']
    const clients = await Promise.all(
      users.map((user, i) => openClient(`${servers[Math.min(i, 1)]?.url ?? ''}?user=${user}`))
    )
    await eventually(async () => (await servers[0].metroplex.count()) === 3)
    await eventually(async () => (await placed(servers)) === 3)
    return { servers, clients }
  }

  for (const transport of ['http', 'redis'] as const)
    it(`send takes a message to a spark, a user, a group or all, over ${transport}`, async () => {
      const { clients } = await cluster({ transport })
      const [a, b, c] = clients as [Client, Client, Client]
      const sent = async (...args: string[]): Promise<unknown> => {
        const answer = await ask('send', '--json', ...args)
        return [answer.code, (answer.json() as { send: number }).send]
      }
      assume(await sent('--spark', a.id, '{"n":1}')).eql([0, 1])
      assume(await sent('--user', 'alice', '2')).eql([0, 2])
      assume(await sent('--group', 'news', '"3"')).eql([0, 3])
      assume(await sent('--all', '--yes', '--text', '{4')).eql([0, 3])
      assume([await a.count(4), await b.count(3), await c.count(2)]).eql([
        [{ n: 1 }, 2, '3', '{4'],
        [2, '3', '{4'],
        ['3', '{4']
      ])
      const missing = await ask('send', '--spark', a.id, '--spark', 'gone', '--text', 'x')
      assume([missing.code, missing.stdout]).eql([1, 'Sent to 1 spark.\nNot there: gone\n'])
    })

  it('send uses the secret of a file', async () => {
    const secret = 'a secret that is long enough'
    const { clients } = await cluster({ secret })
    const file = join(shared.redis.directory, 'secret')
    await writeFile(file, `${secret}\n`)
    const wrong = await ask('send', '--user', 'alice', '1')
    assume(wrong.code).equals(1)
    assume(wrong.stdout).includes('EAUTH')
    assume((await ask('send', '--user', 'alice', '1', '--secret-file', file)).code).equals(0)
    assume(await clients[0]?.next()).equals(1)
  })

  it('end closes connections, and with --reconnect has the clients come back', async () => {
    const { servers, clients } = await cluster()
    const [a, , c] = clients as [Client, Client, Client]
    const back = once(c.socket, 'reconnected')
    assume((await ask('end', '--user', 'bob', '--reconnect', '--yes')).stdout).equals('Ended 1 spark.\n')
    await back
    const closed = once(a.socket, 'end')
    assume((await ask('end', '--spark', a.id, '--yes')).code).equals(0)
    await closed
    await eventually(async () => ((await servers[0]?.metroplex.user('alice')) ?? []).length === 1)
    assume((await ask('end', '--user', 'bob', '--for', '1m', '--yes')).code).equals(0)
    const { id } = await openClient(servers[0]?.url ?? '')
    const identified = await servers[0]?.metroplex.identify(id, 'bob').then(
      () => 'bob',
      (error: unknown) => (error as { code?: string }).code
    )
    assume(identified).equals('EBARRED')
    assume((await ask('end', '--user', 'bob', '--for', '0s', '--yes', '--json')).stdout).includes('"failed":[]')
    const again = await openClient(servers[0]?.url ?? '')
    await servers[0]?.metroplex.identify(again.id, 'bob')
  })

  it('call runs a method on all servers, on some, or on that of a spark', async () => {
    const { servers, clients } = await cluster()
    for (const { metroplex: server } of servers)
      server.method('load', function (this: MethodContext, ...args: unknown[]) {
        return [server.name, args, this.spark?.id]
      })
    servers[0]?.metroplex.method('only', () => 'here')
    const all = await ask('call', 'load', '1', '{"a":2}', '--json')
    assume(all.code).equals(0)
    assume((all.json() as { value: unknown[] }[]).map(({ value }) => value[0]).sort()).eql(['web-1', 'web-2'])
    assume((all.json() as { value: unknown[] }[])[0]?.value[1]).eql([1, { a: 2 }])
    assume((await ask('call', 'load', 'x', '-3', '--text', '--server', 'web-2')).stdout).matches(
      /^http\S+ {2}\["web-2",\["x","-3"\],null\]\n$/
    )
    const id = clients[2]?.id ?? ''
    assume((await ask('call', 'load', '--spark', id)).stdout).equals(`["web-2",[],"${id}"]\n`)
    const some = await ask('call', 'only')
    assume(some.code).equals(1)
    assume(some.stdout).matches(/^http\S+ {2}"here"$/m)
    assume(some.stdout).matches(/^http\S+ {2}ENOMETHOD: /m)
  })

  it('ping measures round trips to Redis and to each server; a mute one is not waited for', async () => {
    const a = await start('web-1')
    const b = await startServer({ redis: { url: shared.redis.url, namespace: shared.space } })
    const well = await ask('ping', '--count', '2', '--timeout', '10s')
    assume(well.code).equals(0)
    assume(well.stdout).matches(/^Redis +\S+ ms +/m)
    assume(well.stdout).matches(new RegExp(`^web-1 +${a.address} +\\S+ ms +`, 'm'))
    b.pause()
    const { code, json } = await ask('ping', '--json', '--timeout', '1s')
    const { servers } = json() as { servers: { address: string; median: number | null; error?: string }[] }
    assume(code).equals(1)
    assume(servers.map(({ address, median }) => [address, median === null]).sort()).eql(
      [
        [a.address, false],
        [b.address, true]
      ].sort()
    )
    assume((await ask('ping', 'web-1')).code).equals(0)
    b.resume()
  })

  it('ask before they end, drain or send to all; without a terminal they refuse', async () => {
    const { clients } = await cluster()
    for (const args of [
      ['end', '--user', 'bob'],
      ['send', '--all', '1'],
      ['drain', 'web-1']
    ]) {
      const { code, stderr } = await ask(...args)
      assume([args, code]).eql([args, 2])
      assume(stderr).includes('there is no terminal to ask on: add --yes.')
    }
    const command = join(__dirname, '..', '..', 'lib', 'cli', 'metroplex.js')
    const terminal = (answer: string): Promise<[text: string, code: number | null]> => {
      const line = `${process.execPath} ${command} send --all --text asked`
      const child = spawn('script', ['-qec', line, '/dev/null'], { env: { ...process.env, ...here() } })
      killAtExit(child)
      using(() => {
        child.kill('SIGKILL')
      })
      let text = ''
      child.stdout.on('data', (chunk: Buffer) => {
        const asked = text.includes('[y/N]')
        text += chunk.toString()
        if (!asked && text.includes('[y/N]')) child.stdin.write(`${answer}\r`)
      })
      return new Promise(resolve => {
        child.once('close', code => {
          resolve([text, code])
        })
      })
    }
    const [refused, no] = await terminal('n')
    assume(refused).includes(`Send the message to all 3 sparks of the namespace ${shared.space}? [y/N]`)
    assume(refused).includes('Nothing was done.')
    assume(no).equals(1)
    assume((await terminal('y'))[1]).equals(0)
    assume(await clients[0]?.next()).equals('asked')
  })

  it('need a target, JSON, and a server that exists', async () => {
    await cluster()
    const wrong: [args: string[], sentence: RegExp][] = [
      [['send', '1'], /^Say what to send to by one of --spark, --user, --group and --all\./],
      [['send', '1', '--all', '--user', 'x'], /, not by several\./],
      [['send', 'hello', '--user', 'x'], /^The message is not JSON: .* add --text/],
      [['call', 'x', 'hello'], /^Argument 1 is not JSON/],
      [['end', '--spark', 'x', '--for', '1m', '--yes'], /^--for keeps users out: give it with --user\./],
      [['end', '--yes'], /^Say what to end by one of/],
      [['call', 'x', '--server', 'web-3'], /^No server is registered as web-3: .* Did you mean web-[12]\?/],
      [['drain', 'web3', '--yes'], /Did you mean web-[12]\?/],
      [['watch', '--only', 'joins'], /^--only does not know joins\. Did you mean join\?/]
    ]
    await Promise.all(
      wrong.map(async ([args, sentence]) => {
        const { code, stderr } = await ask(...args)
        assume([args, code]).eql([args, 2])
        assume(stderr).matches(sentence)
      })
    )
    const none = await metroplex(['send', '--user', 'x', '1'], at(shared.redis.url, 'empty'))
    assume(none.code).equals(3)
    assume(none.stderr).matches(/^No server in the namespace empty can be asked/)
  })
})
