import { EventEmitter } from 'node:events'
import Primus from 'primus'
import type { Parcel, Said } from '../chat'
import { deadline, once } from '../../test/support/wait'
import type { Door, Transformer } from './company'

/** How a client comes back when it is cut off: soon, and for as long as it takes; the times are in ms. */
const RECONNECT = { min: 50, max: 500, retries: 1000 }

/** How long a connection may take to open, or an answer to come, in ms. */
const PATIENCE = 10_000

const sockets = new Map<Transformer, Primus.SocketConstructor>()

/**
 * A real Primus client with a name, which knows one URL: when its server is gone it connects again, to whoever is there then.
 *
 * Emits `arrive` once it is connected and has been told where it is, and `said` with what it is told.
 */
export class Client extends EventEmitter {
  /** Its spark; another one for each connection. */
  id = ''
  /** The name of the server that it is on; `''` while it is on none. */
  at = ''
  /** All it has been told, oldest first. */
  readonly heard: Said[] = []
  #socket: Primus.Socket | undefined

  constructor(readonly name: string, readonly door: Door) {
    super()
  }

  /** Connect. Resolves when it has arrived. */
  async go(): Promise<void> {
    const arrived = once(this, 'arrive', { within: PATIENCE })
    const Socket = socketFor(this.door.transformer)
    const socket = this.#socket = new Socket(this.door.url, { reconnect: RECONNECT })
    // That it is cut off is what this is about.
    socket.on('error', () => undefined)
    socket.on('data', parcel => { this.#hear(parcel as Parcel) })
    socket.on('close', () => { this.at = '' })
    await arrived
  }

  /** A round trip: whatever its server sent it before has arrived when this resolves. */
  async roundTrip(): Promise<void> {
    const socket = this.#socket
    if (socket === undefined) throw new Error(`${this.name} is not connected`)
    await deadline(new Promise(resolve => { socket.id(resolve) }), PATIENCE, `an answer to ${this.name}`)
  }

  /** Say something to one spark. */
  say(to: string, text: string): void {
    this.#socket?.write({ to, text })
  }

  /** Close for good. */
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

/** Made when it is first needed: Primus builds its client library for that. */
function socketFor(transformer: Transformer): Primus.SocketConstructor {
  const socket = sockets.get(transformer) ?? Primus.createSocket({ transformer })
  sockets.set(transformer, socket)
  return socket
}
