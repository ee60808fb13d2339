/**
 * A WebSocket server that does nothing but introduce its clients to themselves, as Primus does: what the controls are
 * made of.
 */
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import type { IncomingMessage, Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { WebSocketServer, type WebSocket } from 'ws'

const PATH = '/primus'

/**
 * Serves clients at this server. Resolves with its port, when it listens. `others` is called with who connects on
 * another path.
 */
export async function serveClients(
  http: Server,
  clients: Map<string, WebSocket>,
  others: (socket: WebSocket) => void = () => undefined
): Promise<number> {
  const sockets = new WebSocketServer({ server: http })
  sockets.on('connection', (socket: WebSocket, request: IncomingMessage) => {
    if (request.url !== PATH) {
      others(socket)
      return
    }
    socket.once('message', () => {
      const id = randomUUID()
      clients.set(id, socket)
      socket.send(JSON.stringify(`primus::id::${id}`))
    })
  })
  http.listen(0, '127.0.0.1')
  await once(http, 'listening')
  return (http.address() as AddressInfo).port
}
