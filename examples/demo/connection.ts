import Primus from 'primus'
import { eventually } from '../../test/support/wait'

/** How long a connection may take to open, or a message to arrive, in ms. */
const PATIENCE = 10_000

let Socket: Primus.SocketConstructor | undefined

/** A connection to a server, as a browser opens it. */
export class Connection {
  /** All messages it has received, oldest first. */
  readonly heard: unknown[] = []
  /** The id of its spark. */
  id = ''
  /** Whether it has ended. */
  ended = false
  readonly #socket: Primus.Socket

  constructor(url: string) {
    Socket ??= Primus.createSocket({ transformer: 'websockets' })
    const socket = (this.#socket = new Socket(url, { strategy: false }))
    socket.on('error', () => undefined)
    socket.on('data', message => {
      this.heard.push(message)
    })
    socket.on('end', () => {
      this.ended = true
    })
    socket.on('open', () => {
      socket.id(id => {
        this.id = id
      })
    })
  }

  /** Resolves when it is connected. */
  async open(): Promise<this> {
    await eventually(() => this.id, { within: PATIENCE, what: 'a connection' })
    return this
  }

  /** Sends a message to the server. */
  say(message: unknown): void {
    this.#socket.write(message)
  }

  /** Resolves when the message has arrived; fails if it arrived more than once. */
  async hears(message: unknown): Promise<void> {
    const wanted = JSON.stringify(message)
    const times = (): number => this.heard.filter(heard => JSON.stringify(heard) === wanted).length
    await eventually(times, { within: PATIENCE, what: wanted })
    if (times() > 1) throw new Error(`${wanted} arrived ${times()} times`)
  }

  /** Closes the connection for good. */
  close(): void {
    this.#socket.end()
  }
}
