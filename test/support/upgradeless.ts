import { once } from 'node:events'
import { Agent, createServer, request, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { adopt, type Scope } from './dispose'

/**
 * What becomes of an upgrade: a status to answer it with, the connection closed without a word, or the upgrade taken
 * out and the rest passed on.
 */
export type Fate = number | 'close' | 'strip'

/** How it behaves. */
export interface UpgradelessOptions {
  /** @default 404 */
  upgrades?: Fate
  /** Headers of answers that it does not pass on, in lower case. @default none */
  without?: readonly string[]
  scope?: Scope
}

/** Such a proxy. */
export interface Upgradeless {
  readonly port: number
  /** How many upgrades, and how many requests, have come. */
  readonly seen: { upgrades: number; requests: number }
  stop(): Promise<void>
}

/**
 * Starts a reverse proxy on 127.0.0.1 that passes requests on to a port, and knows no upgrades, as many do.
 *
 * Inside a test it stops by itself when the test ends.
 */
export async function startUpgradeless(port: number, options: UpgradelessOptions = {}): Promise<Upgradeless> {
  const { upgrades = 404, without = [] } = options
  const seen = { upgrades: 0, requests: 0 }
  const agent = new Agent({ keepAlive: true })

  const pass = (req: IncomingMessage, res: ServerResponse): void => {
    seen.requests++
    const headers = { ...req.headers }
    for (const hop of ['connection', 'upgrade']) Reflect.deleteProperty(headers, hop)
    const target = request({ port, host: '127.0.0.1', method: req.method, path: req.url, headers, agent }, answer => {
      const kept = Object.entries(answer.headers).filter(([name]) => !without.includes(name))
      res.writeHead(answer.statusCode ?? 502, Object.fromEntries(kept))
      answer.pipe(res)
    })
    target.on('error', () => {
      if (res.headersSent) res.destroy()
      else res.writeHead(502, { 'content-type': 'text/html' }).end('<h1>Bad Gateway</h1>')
    })
    res.on('close', () => {
      if (!res.writableFinished) target.destroy()
    })
    req.on('error', () => target.destroy())
    req.pipe(target)
  }

  const server = createServer(pass)
  if (upgrades !== 'strip') {
    server.on('upgrade', (_req: IncomingMessage, socket: Socket) => {
      seen.upgrades++
      socket.on('error', () => undefined)
      if (upgrades === 'close') socket.destroy()
      else
        socket.end(
          `HTTP/1.1 ${upgrades} Refused\r\ncontent-type: text/html\r\ncontent-length: 10\r\nconnection: close\r\n\r\n` +
            '<p>No.</p>'
        )
    })
  }
  const stop = async (): Promise<void> => {
    agent.destroy()
    if (!server.listening) return
    const closed = once(server, 'close')
    server.close()
    server.closeAllConnections()
    await closed
  }
  adopt(stop, options.scope)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { port: portOf(server), seen, stop }
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port
}
