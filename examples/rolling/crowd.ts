import Primus from 'primus'
import { eventually } from '../../test/support/wait'

/** How long all clients may take to connect, in ms. */
const PATIENCE = 30_000

/** How clients reconnect: soon, and as often as it takes. */
const RECONNECT = { min: 100, max: 1000, retries: 1000 }

/** Primus clients behind one address. A client that is cut off reconnects. */
export class Crowd {
  /** How often each message has arrived, by its number. */
  readonly heard = new Map<string, number>()
  /** How often clients have reconnected. */
  returns = 0
  /** The spark id of each connected client. */
  readonly #ids = new Map<Primus.Socket, string>()
  readonly #sockets: Primus.Socket[] = []

  /** The ids of all sparks that the clients know of. */
  get ids(): string[] {
    return [...this.#ids.values()]
  }

  /** Connects this many clients. Resolves when all are connected. */
  async open(url: string, count: number): Promise<void> {
    const Socket = Primus.createSocket({ transformer: 'websockets' })
    while (this.#sockets.length < count) this.#add(new Socket(url, { reconnect: RECONNECT }))
    await this.complete()
  }

  /** Resolves when all clients are connected. */
  async complete(): Promise<void> {
    await eventually(() => this.#ids.size === this.#sockets.length, {
      within: PATIENCE,
      what: 'the connection of all clients'
    })
  }

  /** Closes all clients for good. */
  close(): void {
    for (const socket of this.#sockets) socket.end()
  }

  #add(socket: Primus.Socket): void {
    this.#sockets.push(socket)
    // Lost and refused connections are part of the example.
    socket.on('error', () => undefined)
    socket.on('open', () => {
      socket.id(id => {
        this.#ids.set(socket, id)
      })
    })
    socket.on('close', () => {
      this.#ids.delete(socket)
    })
    socket.on('reconnected', () => {
      this.returns++
    })
    socket.on('data', message => {
      const { n } = message as { n: string }
      this.heard.set(n, (this.heard.get(n) ?? 0) + 1)
    })
  }
}
