import { once as happens } from 'node:events'
import { connect, type Socket } from 'node:net'
import { frame } from '../../lib/transport/http/frames'
import { using } from '../support/dispose'
import { eventually } from '../support/wait'

/** Asks for a stream. */
export const UPGRADE =
  'GET /primus/metroplex HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: metroplex\r\nmetroplex: ' +
  'hello\r\ncontent-type: application/x-hello\r\n\r\n'

/** A connection without manners. */
export class Raw {
  /** All that has come, one character for each byte. */
  heard = ''
  closed = false

  constructor(
    readonly socket: Socket,
    private readonly began = performance.now()
  ) {
    socket.on('data', (chunk: Buffer) => {
      this.heard += chunk.toString('latin1')
    })
    socket.on('error', () => undefined)
    socket.on('close', () => {
      this.closed = true
    })
  }

  static async open(port: number): Promise<Raw> {
    const began = performance.now()
    const socket = connect(port, '127.0.0.1')
    using(() => socket.destroy())
    await happens(socket, 'connect')
    return new Raw(socket, began)
  }

  /** One with a stream. */
  static async upgraded(port: number): Promise<Raw> {
    const raw = await Raw.open(port)
    raw.socket.write(UPGRADE)
    await raw.hears('200 re hello application/x-hello\n')
    raw.heard = ''
    return raw
  }

  frame(line: string, body: Buffer | string = ''): void {
    this.socket.write(Buffer.concat(frame(line, Buffer.from(body))))
  }

  async hears(text: string): Promise<void> {
    await eventually(() => this.heard.includes(text), { what: `'${text}' to be heard` })
  }

  /** Resolves when it has been closed, with how long that took from when it was opened, in ms. */
  async ends(within?: number): Promise<number> {
    await eventually(() => this.closed, { within, what: 'the end of a connection' })
    return performance.now() - this.began
  }
}
