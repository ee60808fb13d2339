import { once as happens } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo, Server } from 'node:net'
import type { Peer } from '../../lib/common/transport-contract'
import type { Reception } from '../../lib/transport/receiving/reception-contract'
import { HttpTransport, type HttpTerms } from '../../lib/transport/http/http'
import { using } from '../support/dispose'
import { loadPrimus } from '../support/primus-types'
import { Echo, MOST } from './contract'

/** A transport that is closed when the test ends, opened with this receiver. */
export function transport(receiver: Reception = new Echo(), differing: Partial<HttpTerms> = {}): HttpTransport {
  const made = new HttpTransport({
    pathname: () => '/primus',
    tls: undefined,
    timeout: 5000,
    maxBody: MOST,
    ...differing
  })
  using(() => made.close())
  made.open(receiver)
  return made
}

/** What a server is like. */
export interface ServeOptions {
  /** @default http */
  server?: Server
  /** Primus's. @default '/primus' */
  pathname?: string
  /** Primus's. @default 'websockets' */
  transformer?: string
}

/** Starts a server with a Primus that has a transport's layer; without a receiver the transport is not opened. */
export async function serve(
  receiver?: Reception,
  { server = createServer(), pathname = '/primus', transformer = 'websockets' }: ServeOptions = {}
): Promise<{ transport: HttpTransport; port: number }> {
  const made = new HttpTransport({ pathname: () => pathname, tls: undefined, timeout: 5000, maxBody: MOST })
  if (receiver !== undefined) made.open(receiver)
  const primus = new (loadPrimus())(server as never, { transformer, pathname }) as unknown as {
    use(name: string, layer: unknown, options: object, level: number): void
    indexOfLayer(name: string): number
    destroy(options: object, done: () => void): void
  }
  primus.use('metroplex', made.middleware, {}, primus.indexOfLayer('authorization'))
  const sockets = new Set<{ destroy(): void }>()
  server.on('connection', socket => sockets.add(socket))
  using(async () => {
    await made.close()
    const ended = new Promise<void>(resolve => {
      primus.destroy({}, resolve)
    })
    for (const socket of sockets) socket.destroy()
    await ended
  })
  server.listen(0, '127.0.0.1')
  await happens(server, 'listening')
  return { transport: made, port: (server.address() as AddressInfo).port }
}

/** Who is at a port of this machine. */
export function peerAt(port: number): Peer {
  return { address: `http://127.0.0.1:${port}`, pathname: '/primus', word: 'word' }
}
