/**
 * A server of a cluster, and a panel that shows all of it: its servers, their clients, joins and leaves. It ends
 * connections and drains servers.
 *
 * Any of the servers shows the same. Start it as often as you like, with one Redis: it reads REDIS_URL, NAMESPACE and
 * PORT. Every visitor of the panel may do all of that: put your own log-in before it.
 */
import { readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { dirname, join } from 'node:path'
import { Redis } from 'ioredis'
import metroplex from 'metroplex'
import Primus from 'primus'

const { REDIS_URL = 'redis://127.0.0.1:6379', NAMESPACE = 'admin', PORT = '8080' } = process.env

const redis = new Redis(REDIS_URL)
redis.on('error', error => {
  console.error('Redis:', error.message)
})

const server = createServer((req, res) => {
  // A wrong argument is a TypeError; a failure of the cluster is a MetroplexError with a code.
  panel(req, res).catch((error: unknown) => {
    send(res, error instanceof TypeError ? 400 : 503, { error: (error as Error).message })
  })
})
const primus = new Primus(server, {
  transformer: 'websockets',
  redis,
  namespace: `${NAMESPACE}:cluster`,
  // A crash is noticed within 3.4 s then. The default is 15000.
  metroplex: { lease: 2000 }
})
primus.plugin('metroplex', metroplex)
const cluster = primus.metroplex
cluster.on('error', console.error)

// The answer of each server to any other.
cluster.method('status', () => {
  const sparks: string[] = []
  primus.forEach(({ id }) => {
    sparks.push(id)
  })
  return { name: cluster.name, state: cluster.stats().state, sparks }
})
cluster.method('drain', () => {
  // A drain may take long. The answer does not wait for it; the page shows its progress.
  cluster.drain().catch(console.error)
})

// tsc does not copy the file.
const page = readFileSync(join(dirname(require.resolve('metroplex/package.json')), 'examples', 'admin', 'page.html'))

async function panel(req: IncomingMessage, res: ServerResponse): Promise<void> {
  const { pathname, searchParams } = new URL(req.url ?? '/', 'http://localhost')
  switch (`${req.method ?? ''} ${pathname}`) {
    case 'GET /':
      res.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(page)
      return
    case 'GET /servers':
      // A server that does not answer within a second is listed with its error.
      send(res, 200, await cluster.call('status', [], { timeout: 1000 }))
      return
    case 'GET /news':
      follow(res)
      return
    case 'POST /end':
      send(res, 200, await cluster.end(searchParams.get('spark') ?? ''))
      return
    case 'POST /drain':
      send(res, 200, await cluster.call('drain', [], { to: searchParams.get('server') ?? '' }))
      return
    default:
      send(res, 404, { error: 'There is no such page.' })
  }
}

/** Sends joins and leaves to a browser, as long as it listens. */
function follow(res: ServerResponse): void {
  res.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' }).flushHeaders()
  const listeners = (['join', 'leave', 'drain'] as const).map(event => {
    const listener = (...args: string[]): void => {
      res.write(`data: ${JSON.stringify([event, ...args])}\n\n`)
    }
    cluster.on(event, listener)
    return () => {
      cluster.off(event, listener)
    }
  })
  res.on('close', () => {
    for (const off of listeners) off()
  })
}

function send(res: ServerResponse, status: number, body: unknown): void {
  // JSON leaves out the name and message of an error.
  const text = JSON.stringify(body, (_key, value: unknown) => (value instanceof Error ? value.message : value))
  res.writeHead(status, { 'content-type': 'application/json' }).end(text)
}

server.listen(Number(PORT), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${(server.address() as AddressInfo).port}`)
})
process.once('SIGTERM', () => {
  primus.destroy({ reconnect: true }, () => {
    redis.disconnect()
  })
  // An open event stream would keep the server open.
  server.closeAllConnections()
})
