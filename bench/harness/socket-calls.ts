/**
 * Counts what this process writes to its sockets and reads from them: each is a system call.
 *
 * Unlike CPU, these counts are not changed by what else the machine does, except that a late turn of the event loop has
 * more to write at once. Pipes, the one to the parent process among them, are not counted.
 */
import diagnostics from 'node:diagnostics_channel'
import { once } from 'node:events'
import { createServer, Socket } from 'node:net'
import { Readable } from 'node:stream'
import { load } from '../../test/support/primus-types'

/** System calls on sockets. */
export interface SocketCalls {
  readonly writes: number
  readonly reads: number
}

type Method = (this: unknown, ...args: unknown[]) => unknown
type Methods = Record<string | number, Method | undefined>

/** The methods of a handle that write at once, with one system call unless the kernel's buffer is full. */
const WRITES = ['writeBuffer', 'writev', 'writeUtf8String', 'writeAsciiString', 'writeLatin1String', 'writeUcs2String']

let counting = false
let writes = 0
let reads = 0

/** Starts to count in this process; a second call changes nothing. */
export async function countSocketCalls(): Promise<void> {
  if (counting) return
  counting = true
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const tcp = Object.getPrototypeOf((server as unknown as { _handle: object })._handle) as Methods
  server.close()
  for (const name of WRITES) {
    const write = tcp[name]
    if (write === undefined) throw new Error(`A socket of this Node.js has no ${name}.`)
    tcp[name] = function counted(...args) {
      writes++
      return write.apply(this, args)
    }
  }
  const push = (Readable.prototype as { push: Method }).push
  Object.defineProperty(Socket.prototype, 'push', {
    value: function counted(this: Socket, chunk: unknown, encoding: unknown): unknown {
      if (chunk !== null) reads++
      return push.call(this, chunk, encoding)
    }
  })
  countRequests()
}

/** The counts of this process since it began to count. */
export function socketCalls(): SocketCalls {
  return { writes, reads }
}

/** An HTTP server lets its parser read from the socket, past `push`: that calls back once for each read. */
function countRequests(): void {
  const { HTTPParser } = load('node:_http_common') as { HTTPParser: { kOnExecute: number } }
  const key = HTTPParser.kOnExecute
  diagnostics.subscribe('net.server.socket', message => {
    const { socket } = message as { socket: { parser?: Methods | null } }
    // The HTTP server sets its parser while it hears of the connection.
    queueMicrotask(() => {
      const { parser } = socket
      const executed = parser?.[key]
      if (parser === null || parser === undefined || executed === undefined) return
      parser[key] = function counted(...args) {
        reads++
        return executed.apply(this, args)
      }
    })
  })
}
