import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { dirname, join } from 'node:path'
import type { Client } from './client'
import type { Company } from './company'

/** The page for browsers, as it is served. */
export interface Page {
  readonly url: string
  close(): Promise<void>
}

/** What `/where` answers: the servers, the one to take first. */
export type Where = { readonly name: string; readonly address: string; readonly transformer: string }[]

/** What `/who` answers: what the demo calls servers and sparks. */
export interface Who {
  readonly servers: Record<string, string>
  readonly clients: Record<string, string>
}

/**
 * Serves the page on localhost, on the first free port from the one that is wanted.
 *
 * Each tab asks `/where` for a server, and each gets another one.
 */
export async function openPage(company: Company, clients: readonly Client[], wanted: number): Promise<Page> {
  // tsc leaves it where it is.
  const html = await readFile(join(dirname(require.resolve('metroplex/package.json')), 'examples', 'page.html'))
  let tabs = 0
  const server = createServer((req, res) => {
    if (req.url === '/') send(res, 'text/html; charset=utf-8', html)
    else if (req.url === '/where') send(res, 'application/json', JSON.stringify(turned(where(company), tabs++)))
    else if (req.url === '/who') send(res, 'application/json', JSON.stringify(who(company, clients)))
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

function where(company: Company): Where {
  return company.playing.map(({ name, address, transformer }) => ({ name, address, transformer }))
}

function who(company: Company, clients: readonly Client[]): Who {
  return {
    servers: Object.fromEntries(company.playing.map(({ name, address }) => [address, name])),
    clients: Object.fromEntries(clients.filter(({ at }) => at !== undefined).map(({ name, id }) => [id, name]))
  }
}

function turned<T>(list: readonly T[], by: number): T[] {
  const first = list.length === 0 ? 0 : by % list.length
  return [...list.slice(first), ...list.slice(0, first)]
}

function send(res: ServerResponse, type: string, body: string | Buffer): void {
  res.writeHead(200, { 'content-type': type, 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' }).end(body)
}

async function listen(server: Server, wanted: number): Promise<number> {
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
