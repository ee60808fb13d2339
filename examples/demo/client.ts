import { EventEmitter } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import Primus from 'primus'
import type { Parcel, Said } from '../chat'
import { deadline } from '../../test/support/wait'
import type { Transformer } from './part'

/** Where a client can go. */
export interface Stop {
  readonly name: string
  readonly address: string
  readonly transformer: Transformer
}

/** The pause after all servers have been tried, in ms. */
const BREATH = 250

/** How long one server may take to open a connection, in ms. */
const PATIENCE = 5000

const sockets = new Map<Transformer, Primus.SocketConstructor>()

/**
 * A real Primus client with a name and a list of servers: when its server is gone it goes on to the next one.
 *
 * Emits `arrive` once it is connected and knows its spark id, and `said` with what it is told.
 */
export class Client extends EventEmitter {
  /** Its spark; another one on each server. */
  id = ''
  /** Where it is. */
  at: Stop | undefined
  /** All it has been told, oldest first. */
  readonly heard: Said[] = []
  #socket: Primus.Socket | undefined
  #closed = false

  /** @param stops the servers there are, at each time it is called */
  constructor(readonly name: string, private readonly stops: () => readonly Stop[]) {
    super()
  }

  /** Connect to a server. Resolves when it has arrived, maybe elsewhere. */
  async go(stop: Stop): Promise<void> {
    let next: Stop | undefined = stop
    for (let tries = 1; !this.#closed; tries++) {
      if (next !== undefined && await this.#open(next)) return
      const stops = this.stops()
      next = after(next, stops)
      // The whole list has been tried in vain.
      if (tries % Math.max(stops.length, 1) === 0) await sleep(BREATH, undefined, { ref: false })
    }
  }

  /** A round trip: whatever its server sent it before has arrived when this resolves. */
  async roundTrip(): Promise<void> {
    const socket = this.#socket
    if (socket === undefined) throw new Error(`${this.name} is not connected`)
    await deadline(idOf(socket), PATIENCE, `an answer to ${this.name}`)
  }

  /** Say something to one spark. */
  say(to: string, text: string): void {
    this.#socket?.write({ to, text })
  }

  /** Close for good. */
  close(): void {
    this.#closed = true
    this.#socket?.end()
  }

  async #open(stop: Stop): Promise<boolean> {
    const Socket = socketFor(stop.transformer)
    // It would come back to the same server for ever: where to go is our list's to say.
    const socket = this.#socket = new Socket(stop.address, { strategy: false })
    socket.on('error', () => undefined)
    socket.on('data', parcel => { this.#hear(parcel as Parcel) })
    const ended = new Promise<null>(resolve => { socket.on('end', () => { resolve(null) }) })
    const opened = new Promise<string>(resolve => {
      socket.on('open', () => { socket.id(resolve) })
    })
    const id = await deadline(Promise.race([opened, ended]), PATIENCE, 'a connection').catch(() => null)
    if (id === null || this.#closed) {
      socket.end()
      return false
    }
    this.id = id
    this.at = stop
    ended.then(() => this.#move(stop)).catch((error: unknown) => { this.emit('lost', error) })
    this.emit('arrive', stop)
    return true
  }

  async #move(from: Stop): Promise<void> {
    this.at = undefined
    const next = after(from, this.stops())
    if (!this.#closed && next !== undefined) await this.go(next)
  }

  #hear({ said }: Parcel): void {
    if (said === undefined) return
    this.heard.push(said)
    this.emit('said', said)
  }
}

/** The next one on the list, after the last one the first. */
function after(stop: Stop | undefined, stops: readonly Stop[]): Stop | undefined {
  return stops[(stops.findIndex(({ address }) => address === stop?.address) + 1) % stops.length]
}

function idOf(socket: Primus.Socket): Promise<string> {
  return new Promise(resolve => { socket.id(resolve) })
}

/** Made when it is first needed: Primus builds its client library for that. */
function socketFor(transformer: Transformer): Primus.SocketConstructor {
  const socket = sockets.get(transformer) ?? Primus.createSocket({ transformer })
  sockets.set(transformer, socket)
  return socket
}
