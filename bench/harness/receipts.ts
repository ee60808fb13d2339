/**
 * How the sender hears what its clients got: over a connection between the two processes alone, past all servers.
 *
 * What came within one turn of the clients' event loop is told at once, as bytes whose sum is the number of messages.
 * What that costs the sender counts as the sender's, in every measurement.
 */
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'

const host = '127.0.0.1'
const MOST = 255
/** Said by the sender: from now on, and no more. */
const BEGIN = 1
const END = 0

/** What is called in the sender with each number of receipts. */
type Hear = (count: number) => void

let clients: Promise<Socket> | undefined
let hear: Hear = () => undefined

/** In the sender: waits for the clients' process. Resolves with the port. */
export async function listenForReceipts(): Promise<number> {
  const server = createServer({ noDelay: true })
  clients = new Promise(resolve => server.once('connection', resolve))
  server.listen(0, host)
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

/**
 * In the sender: from now on it is told of each message that comes, until `end` is called. Resolves when the clients
 * know.
 */
export async function beginReceipts(told: Hear): Promise<{ end(): void }> {
  if (clients === undefined) throw new Error('No client is there to send receipts.')
  const socket = await clients
  if (socket.listenerCount('data') === 0) {
    socket.on('data', bytes => {
      let sum = 0
      for (const byte of bytes) sum += byte
      hear(sum)
    })
  }
  await new Promise<void>(resolve => {
    // What comes first counts nothing: it is the answer.
    hear = () => resolve()
    socket.write(Uint8Array.of(BEGIN))
  })
  hear = told
  return {
    end: () => {
      socket.write(Uint8Array.of(END))
    }
  }
}

let sender: Socket | undefined
let telling = false
let untold = 0

/** With the clients: will tell the sender on this port, when it wants to know. */
export async function tellReceipts(port: number): Promise<void> {
  const socket = (sender = connect({ port, host, noDelay: true }))
  socket.on('data', wishes => {
    telling = wishes.at(-1) === BEGIN
    if (telling) socket.write(Uint8Array.of(0))
  })
  await once(socket, 'connect')
}

/** With the clients: a message has come. */
export function receipt(): void {
  if (telling && ++untold === 1) setImmediate(tell)
}

function tell(): void {
  const bytes = new Uint8Array(Math.ceil(untold / MOST)).fill(MOST)
  bytes[bytes.length - 1] = untold - MOST * (bytes.length - 1)
  untold = 0
  sender?.write(bytes)
}
