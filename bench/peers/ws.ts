/** A broadcast without anything on top: each server writes to all of its clients, when the first one says so. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { Socket } from 'node:net'
import { WebSocket } from 'ws'
import type { Actor, ActorSettings } from '../harness/actor'
import type { Control } from '../subjects'
import { serveClients } from './sockets'

/** Makes this process a server, whose peers say over a WebSocket what is to be written, and hear there that it was. */
export async function openSockets({ subject }: ActorSettings<Control>): Promise<Actor> {
  const clients = new Map<string, WebSocket>()
  const write = subject.together === true ? writeFrame : writeText
  const port = await serveClients(createServer(), clients, peer => {
    peer.on('message', (data: Buffer) => {
      write(clients, data.toString())
      peer.send('')
    })
  })
  const peers: WebSocket[] = []
  const waiting: (() => void)[][] = []
  return {
    port,
    async meet(others) {
      await Promise.all(
        others.map(async (other, i) => {
          const peer = new WebSocket(`ws://127.0.0.1:${other}/peer`, { perMessageDeflate: false })
          const calls = (waiting[i] = [] as (() => void)[])
          peer.on('message', () => calls.shift()?.())
          peers.push(peer)
          await once(peer, 'open')
        })
      )
    },
    broadcast: (all, message, done) => {
      const text = JSON.stringify(message)
      let left = peers.length
      const written = (): void => {
        if (--left === 0) done(null, all)
      }
      peers.forEach((peer, i) => {
        waiting[i]?.push(written)
        peer.send(text)
      })
      write(clients, text)
    }
  }
}

type Clients = ReadonlyMap<string, WebSocket>

function writeText(clients: Clients, text: string): void {
  for (const client of clients.values()) client.send(text)
}

/** One frame for all, and past ws, straight into the sockets. */
function writeFrame(clients: Clients, text: string): void {
  const frame = frameOf(Buffer.from(text))
  for (const client of clients.values()) (client as unknown as { _socket: Socket })._socket.write(frame)
}

/** A text that is the whole of its message, of 126 to 65 535 bytes. */
function frameOf(payload: Buffer): Buffer {
  const head = Buffer.from([0x81, 126, 0, 0])
  head.writeUInt16BE(payload.length, 2)
  return Buffer.concat([head, payload])
}
