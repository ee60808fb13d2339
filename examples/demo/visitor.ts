import Primus from 'primus'
import { eventually } from '../../test/support/wait'

/** How long a connection may take to open, or a message to arrive, in ms. */
const PATIENCE = 10_000

let Socket: Primus.SocketConstructor | undefined

/** A connection of somebody's, as a browser would open it. */
export class Visitor {
  /** All that it was sent, oldest first. */
  readonly heard: unknown[] = []
  /** Its spark. */
  id = ''
  /** Whether it has ended. */
  ended = false
  readonly #socket: Primus.Socket

  constructor(url: string) {
    Socket ??= Primus.createSocket({ transformer: 'websockets' })
    const socket = this.#socket = new Socket(url, { strategy: false })
    socket.on('error', () => undefined)
    socket.on('data', message => { this.heard.push(message) })
    socket.on('end', () => { this.ended = true })
    socket.on('open', () => { socket.id(id => { this.id = id }) })
  }

  /** Resolves when it is connected. */
  async open(): Promise<this> {
    await eventually(() => this.id, { within: PATIENCE, what: 'a connection' })
    return this
  }

  /** Say something to the server. */
  say(message: unknown): void {
    this.#socket.write(message)
  }

  /** Resolves when it has been sent this, and fails unless it was once. */
  async hears(message: unknown): Promise<void> {
    const wanted = JSON.stringify(message)
    const times = (): number => this.heard.filter(heard => JSON.stringify(heard) === wanted).length
    await eventually(times, { within: PATIENCE, what: wanted })
    if (times() > 1) throw new Error(`${wanted} arrived ${times()} times`)
  }

  /** Close for good. */
  close(): void {
    this.#socket.end()
  }
}
