import { execFile, execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { assume } from '../support/assume'
import { openClient, type Client } from '../support/client'
import { using } from '../support/dispose'
import { sharedRedis } from '../support/shared-redis'
import { startServer, type ServerProcess } from '../support/server'
import { eventually } from '../support/wait'

const examples = join(__dirname, '..', '..', '..', 'examples')

/** The senders, and what each needs on this machine. */
const SENDERS = [
  { file: 'send.py', run: 'python3', needs: ['python3'] },
  { file: 'send.sh', run: 'sh', needs: ['sh', 'curl', 'openssl', 'redis-cli'] }
] as const

function isHere(tool: string): boolean {
  try {
    execFileSync('sh', ['-c', `command -v ${tool}`], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

/** How a sender ended, and what it said. */
interface Said {
  code: number | string
  out: string
  error: string
}

/** What stands between a sender and a server. */
interface Relay {
  readonly address: string
  /** Where to hand requests on. */
  to: string
  /** What becomes of the answer to the nth batch: its body, or nothing at all. */
  batch: (nth: number, body: string) => string | undefined
}

async function startRelay(): Promise<Relay> {
  let batches = 0
  const server = createServer((req, res) => {
    if (relay.to === '') {
      req.socket.destroy()
      return
    }
    const asked = request(
      `${relay.to}${req.url ?? ''}`,
      { method: req.method, headers: req.headers, agent: false },
      answer => {
        let body = ''
        answer.setEncoding('utf8').on('data', chunk => {
          body += String(chunk)
        })
        answer.on('end', () => {
          const left =
            req.headers['content-type'] === 'application/vnd.metroplex.batch' ? relay.batch(++batches, body) : body
          if (left === undefined) req.socket.destroy()
          else res.writeHead(answer.statusCode ?? 0, answer.headers).end(left)
        })
      }
    )
    asked.on('error', () => {
      req.socket.destroy()
    })
    req.pipe(asked)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  using(
    () =>
      new Promise(resolve => {
        server.close(resolve)
        server.closeAllConnections()
      })
  )
  const relay: Relay = {
    address: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    to: '',
    batch: (_nth, body) => body
  }
  return relay
}

for (const { file, run, needs } of SENDERS) {
  const missing = needs.filter(tool => !isHere(tool))

  describe(`examples/${file}`, function () {
    if (missing.length > 0) {
      it(`is not tried here: this machine has no ${missing.join(' and no ')}`, () => undefined)
      return
    }

    const shared = sharedRedis()

    const send = (...args: string[]): Promise<Said> =>
      new Promise(resolve => {
        const env = { ...process.env, METROPLEX_SECRET: '' }
        execFile(
          run,
          [join(examples, file), '--redis', shared.redis.url, '--namespace', shared.space, ...args],
          { env, timeout: 45_000 },
          (failed, out, error) => {
            resolve({ code: failed?.code ?? 0, out: out.trim(), error: error.trim() })
          }
        )
      })

    /** A server, and a client of it that the registry knows. */
    const cluster = async (
      metroplex: Record<string, unknown> = {},
      primus: Record<string, unknown> = {}
    ): Promise<{ server: ServerProcess; client: Client }> => {
      const server = await startServer({
        redis: { url: shared.redis.url, namespace: shared.space },
        primus: { ...primus, metroplex }
      })
      const client = await openClient(server.url)
      await eventually(() => server.call('metroplex.spark', client.id), { what: 'the spark in the registry' })
      return { server, client }
    }

    it('has a client receive the message, signed with the secret that the servers have agreed upon', async () => {
      const { server, client } = await cluster()
      const { code, out, error } = await send(client.id, '{"hello":"wörld","n":[1,2.5,null]}')
      assume(error).equals('')
      assume(out).equals(`${server.address} has handed it to ${client.id}.`)
      assume(code).equals(0)
      assume(await client.next()).deep.equals({ hello: 'wörld', n: [1, 2.5, null] })
    })

    it('signs with a secret that it is given', async () => {
      const secret = '-a secret, with ünusual letters & $(such)'
      const { client } = await cluster({ secret })
      // A word of its own that begins with a dash would be an option.
      const { code, error } = await send(
        ...(file === 'send.py' ? [`--secret=${secret}`] : ['--secret', secret]),
        client.id,
        '"hello"'
      )
      assume(error).equals('')
      assume(code).equals(0)
      assume(await client.next()).equals('hello')
    })

    it('is refused with a wrong secret, reports it, and no client receives anything', async () => {
      const { server, client } = await cluster({ secret: 'the secret of this cluster' })
      const { code, out, error } = await send('--secret', 'the secret of another cluster', client.id, '"wrong"')
      assume(error).equals(
        `${server.address} refuses our signature: The signature is not one of this cluster. Give the secret of the ` +
          'cluster with --secret, and its --namespace.'
      )
      assume(out).equals('')
      assume(code).equals(1)
      await send('--secret', 'the secret of this cluster', client.id, '"right"')
      assume(await client.next()).equals('right')
      assume(client.messages).deep.equals(['right'])
    })

    /** A server that is reached through a relay alone. */
    const behind = async (batch: Relay['batch']): Promise<Client> => {
      const relay = await startRelay()
      const { server, client } = await cluster({}, { address: relay.address })
      Object.assign(relay, { to: server.url, batch })
      return client
    }

    it('retries an unanswered message, and the client receives it once', async () => {
      const client = await behind((nth, body) => (nth === 1 ? undefined : body))
      const { code, error } = await send(client.id, '"once"')
      assume(error).equals('')
      assume(code).equals(0)
      await send(client.id, '"after it"')
      await eventually(() => client.messages.includes('after it'), { what: 'the second message' })
      assume(client.messages).deep.equals(['once', 'after it'])
    })

    it('gives up without an answer, and reports an unknown outcome', async () => {
      const client = await behind(() => undefined)
      const { code, error } = await send(client.id, '"once"')
      assume(error).includes(' did not answer: ')
      assume(error).includes('. Whether it has arrived is not known.')
      assume(code).equals(1)
      assume(await client.next()).equals('once')
    })

    it('rejects an answer that was changed on its way', async () => {
      const client = await behind((_nth, body) => body.replace('1', '2'))
      const { code, error } = await send(client.id, '"once"')
      assume(error).includes('did not sign its answer with the secret of the cluster')
      assume(code).equals(1)
    })

    it('reports that no server holds the spark, or that its server no longer does', async () => {
      const { server, client } = await cluster()
      const unknown = await send('unknown', '1')
      assume(unknown.error).equals(`No server has a spark unknown in the namespace ${shared.space}.`)
      assume(unknown.code).equals(1)
      const registry = shared.redis.client()
      await registry.hset(`${shared.space}:sparks`, 'stale', server.address)
      const stale = await send('stale', '1')
      assume(stale.error).equals(`${server.address} does not have the spark stale any more.`)
      assume(stale.code).equals(1)
      assume(client.messages).deep.equals([])
    })

    it('does not ask a server that has died', async () => {
      const { server, client } = await cluster({ lease: 1000 })
      await server.kill()
      const registry = shared.redis.client()
      await eventually(async () => (await registry.exists(`${shared.space}:${server.address}:lease`)) === 0, {
        what: 'the end of the lease'
      })
      const { code, error } = await send(client.id, '1')
      assume(error).includes('does not live any more')
      assume(code).equals(1)
    })

    it('refuses an invalid message before it sends anything', async () => {
      const { code, error } = await send('--redis', 'redis://127.0.0.1:1', 'id', '"primus::server::close"')
      assume(error).includes(
        "A message must not begin with primus::, which Primus's clients take for protocol".slice(2)
      )
      assume(code).equals(2)
    })
  })
}
