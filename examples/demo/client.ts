import { EventEmitter } from 'node:events'
import Primus from 'primus'
import type { Parcel, Said } from '../chat'
import { deadline, once } from '../../test/support/wait'
import type { Endpoint, Transformer } from './servers'

/** How a client reconnects: soon, and as often as it takes; the times are in ms. */
const RECONNECT = { min: 50, max: 500, retries: 1000 }

/** How long a connection may take to open, or an answer to arrive, in ms. */
const PATIENCE = 10_000

const sockets = new Map<Transformer, Primus.SocketConstructor>()

/**
 * A Primus client with a name and one URL. When its server is gone, it reconnects to any server at that URL.
 *
 * Emits `arrive` when it is connected and knows its server, and `said` with each chat message.
 */
export class Client extends EventEmitter {
  /** The id of its spark; each connection has another one. */
  id = ''
  /** The name of its server; `''` while it is not connected. */
  at = ''
  /** All chat messages it has received, oldest first. */
  readonly heard: Said[] = []
  #socket: Primus.Socket | undefined

  constructor(
    readonly name: string,
    readonly endpoint: Endpoint
  ) {
    super()
  }

  /** Connects. Resolves when it knows its server. */
  async go(): Promise<void> {
    const arrived = once(this, 'arrive', { within: PATIENCE })
    const Socket = socketFor(this.endpoint.transformer)
    const socket = (this.#socket = new Socket(this.endpoint.url, { reconnect: RECONNECT }))
    // Lost connections are part of the demo.
    socket.on('error', () => undefined)
    socket.on('data', parcel => {
      this.#hear(parcel as Parcel)
    })
    socket.on('close', () => {
      this.at = ''
    })
    await arrived
  }

  /** A round trip to its server. When it resolves, all earlier messages of the server have arrived. */
  async roundTrip(): Promise<void> {
    const socket = this.#socket
    if (socket === undefined) throw new Error(`${this.name} is not connected`)
    await deadline(
      new Promise(resolve => {
        socket.id(resolve)
      }),
      PATIENCE,
      `an answer to ${this.name}`
    )
  }

  /** Sends a chat message to one spark. */
  say(to: string, text: string): void {
    this.#socket?.write({ to, text })
  }

  /** Closes the connection for good. */
  close(): void {
    this.#socket?.end()
  }

  #hear({ welcome, said }: Parcel): void {
    if (welcome !== undefined) {
      this.id = welcome.spark
      this.at = welcome.server
      this.emit('arrive')
    }
    if (said === undefined) return
    this.heard.push(said)
    this.emit('said', said)
  }
}

/** Creates the client library when it is first needed, because Primus has to build it. */
function socketFor(transformer: Transformer): Primus.SocketConstructor {
  const socket = sockets.get(transformer) ?? Primus.createSocket({ transformer })
  sockets.set(transformer, socket)
  return socket
}
