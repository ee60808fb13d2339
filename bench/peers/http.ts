/** A forward without anything on top: one request for each message, over connections that are kept. */
import { Agent, createServer, request, type IncomingMessage } from 'node:http'
import type { WebSocket } from 'ws'
import type { Actor } from '../harness/actor'
import type { Message } from '../harness/message'
import { serveClients } from './sockets'

/** What a request carries. */
interface Letter {
  id: string
  message: Message
}

/**
 * Makes this process a server that writes to one client what a request says, and forwards to the one other server there
 * is.
 */
export async function openHttp(): Promise<Actor> {
  const clients = new Map<string, WebSocket>()
  const http = createServer((question, answer) => {
    read(question, text => {
      const { id, message } = JSON.parse(text) as Letter
      const client = clients.get(id)
      client?.send(JSON.stringify(message))
      answer.writeHead(client === undefined ? 404 : 204).end()
    })
  })
  const agent = new Agent({ keepAlive: true, maxSockets: 64 })
  let port = 0
  return {
    port: await serveClients(http, clients),
    meet([other = 0]) {
      port = other
      return Promise.resolve()
    },
    forwardOne: (id, message, done) => {
      const letter: Letter = { id, message }
      const body = JSON.stringify(letter)
      request(
        { host: '127.0.0.1', port, method: 'PUT', agent, headers: { 'content-length': Buffer.byteLength(body) } },
        answer => {
          answer.resume()
          answer.once('end', () =>
            done(answer.statusCode === 204 ? null : new Error(`it said ${answer.statusCode ?? 'nothing'}`), 1)
          )
        }
      )
        .once('error', (error: Error) => done(error, 0))
        .end(body)
    }
  }
}

function read(message: IncomingMessage, done: (text: string) => void): void {
  const chunks: Buffer[] = []
  message.on('data', (chunk: Buffer) => chunks.push(chunk))
  message.once('end', () => done(Buffer.concat(chunks).toString()))
}
