import { createServer, type RequestListener, type ServerResponse } from 'node:http'
import fastify from 'fastify'
import { Redis } from 'ioredis'
import { dashboard, type Dashboard } from '../../lib/dashboard'
import { assume } from '../support/assume'
import { httpAsk, JSON_BODY, servePage } from '../support/dashboard'
import { using } from '../support/dispose'
import { load } from '../support/primus-types'
import { sharedRedis } from '../support/shared-redis'

/** What is used of Express, which ships no types. */
interface Express {
  (): RequestListener & { use(...handlers: unknown[]): void }
  json(): unknown
}

const express = load('express') as Express

describe('the page of a cluster is a part of an application', () => {
  const shared = sharedRedis()
  const make = (options: object = {}): Dashboard => {
    const redis = new Redis(shared.redis.url)
    const page = dashboard({ redis, namespace: shared.space, ...options })
    using(async () => {
      await page.close()
      redis.disconnect()
    })
    return page
  }
  /** The page, its files and both kinds of requests work below this URL; others are those of the application. */
  const works = async (base: string, others = true): Promise<void> => {
    const bare = await httpAsk(`${base}/cluster`)
    assume([bare.status, bare.headers.location]).eql([308, './cluster/'])
    assume((await httpAsk(`${base}/cluster/`)).body).includes('<title>metroplex</title>')
    assume((await httpAsk(`${base}/cluster/main.mjs`)).headers['content-type']).includes('text/javascript')
    assume((await httpAsk(`${base}/cluster/api/servers?sort=name`)).status).equals(200)
    const send = await httpAsk(`${base}/cluster/api/send`, {
      method: 'POST',
      headers: JSON_BODY,
      body: '{"kind":"user","name":"alice"}'
    })
    assume(send.error).equals('The request has no message.')
    if (others) assume((await httpAsk(`${base}/clusters`)).body).equals('the application')
  }

  it('of node:http, under a path', async () => {
    const { port } = await servePage(
      shared.redis.url,
      { namespace: shared.space, path: '/cluster' },
      page => (req, res) => {
        page(req, res, () => res.end('the application'))
      }
    )
    await works(`http://127.0.0.1:${port}`)
  })

  it('of Express, which may have read the body', async () => {
    for (const parses of [false, true]) {
      const app = express()
      if (parses) app.use(express.json())
      app.use('/cluster', make())
      app.use((_req: unknown, res: ServerResponse) => {
        res.end('the application')
      })
      const server = createServer(app)
      await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
      using(() => {
        server.close()
        server.closeAllConnections()
      })
      await works(`http://127.0.0.1:${(server.address() as { port: number }).port}`)
    }
  })

  it('of Fastify', async () => {
    const app = fastify()
    const page = make({ path: '/cluster' })
    await app.register(scope => {
      scope.removeAllContentTypeParsers()
      scope.addContentTypeParser('*', (_request, _payload, done) => {
        done(null)
      })
      scope.all('/cluster', page)
      scope.all('/cluster/*', page)
    })
    app.get('/clusters', (_request, reply) => reply.send('the application'))
    using(() => app.close())
    await works(await app.listen({ port: 0, host: '127.0.0.1' }))
  })
})
