import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createServer, get, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { dirname, join } from 'node:path'
import { text } from 'node:stream/consumers'
import { deadline } from '../../test/support/wait'
import type { Client } from './client'
import type { ServerGroup, Endpoint } from './servers'

/** How long a worker may take to serve a file, in ms. */
const PATIENCE = 10_000

/** The page for browsers and its address. */
export interface Page {
  readonly url: string
  close(): Promise<void>
}

/** The answer of `/where`: where clients connect, the preferred one first. */
export type Where = readonly Pick<Endpoint, 'transformer' | 'url'>[]

/** The answer of `/who`: the names of servers and sparks. */
export interface Who {
  readonly servers: Record<string, string>
  readonly clients: Record<string, string>
}

/** Serves the page on localhost, on the first free port from the given one. */
export async function openPage(group: ServerGroup, clients: readonly Client[], wanted: number): Promise<Page> {
  // tsc does not copy the file.
  const html = await readFile(join(dirname(require.resolve('metroplex/package.json')), 'examples', 'page.html'))
  const libraries = new Map<string, string>(
    await Promise.all(
      group.endpoints.map(async endpoint => [`/primus/${endpoint.transformer}.js`, await library(endpoint)] as const)
    )
  )
  let tabs = 0
  const server = createServer((req, res) => {
    const { url = '' } = req
    const script = libraries.get(url)
    if (url === '/') send(res, 'text/html; charset=utf-8', html)
    else if (url === '/where') send(res, 'application/json', JSON.stringify(turned(where(group), tabs++)))
    // A tab that reconnects knows which door it wants.
    else if (url === '/where?again') send(res, 'application/json', JSON.stringify(where(group)))
    else if (url === '/who') send(res, 'application/json', JSON.stringify(who(group, clients)))
    else if (script !== undefined) send(res, 'text/javascript; charset=utf-8', script)
    else res.writeHead(404).end()
  })
  const port = await listen(server, wanted)
  return {
    url: `http://localhost:${port}`,
    close: async () => {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    }
  }
}

function where(group: ServerGroup): Where {
  return group.endpoints.map(({ transformer, url }) => ({ transformer, url }))
}

/** The client library of Primus, as a worker serves it. */
async function library({ url }: Endpoint): Promise<string> {
  // A connection that stays open would delay the worker's end.
  const asked = get(`${url}/primus/primus.js`, { agent: false })
  const answered = once(asked, 'response').then(([answer]) => text(answer as IncomingMessage))
  return deadline(answered, PATIENCE, `the library of ${url}`)
}

function who(group: ServerGroup, clients: readonly Client[]): Who {
  return {
    servers: Object.fromEntries(group.active.map(({ name, address }) => [address, name])),
    clients: Object.fromEntries(clients.filter(({ at }) => at !== '').map(({ name, id }) => [id, name]))
  }
}

function turned<T>(list: readonly T[], by: number): readonly T[] {
  const first = list.length === 0 ? 0 : by % list.length
  return [...list.slice(first), ...list.slice(0, first)]
}

function send(res: ServerResponse, type: string, body: string | Buffer): void {
  res
    .writeHead(200, { 'content-type': type, 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' })
    .end(body)
}

/** Listens on localhost, on the first free port from the given one. */
export async function listen(server: Server, wanted: number): Promise<number> {
  for (let port = wanted; ; port++) {
    try {
      server.listen(port, '127.0.0.1')
      await once(server, 'listening')
      return (server.address() as AddressInfo).port
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
    }
  }
}
