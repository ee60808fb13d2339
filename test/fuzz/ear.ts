import { once } from 'node:events'
import WebSocket from 'ws'
import { adopt } from '../support/dispose'
import { deadline } from '../support/wait'

/** A client that takes down what comes in as it is, also what Primus's own would not understand. */
export class Ear {
  /** How many messages have come. */
  heard = 0
  /** What Primus's clients take for protocol, and only Primus should send. */
  readonly forged: string[] = []
  id = ''

  private constructor(private readonly socket: WebSocket) {}

  static async open(url: string): Promise<Ear> {
    const socket = new WebSocket(`${url.replace('http', 'ws')}/primus/?_primuscb=fuzz`)
    const ear = new Ear(socket)
    adopt(() => {
      socket.terminate()
    })
    const identified = new Promise<void>(resolve => {
      socket.on('message', data => {
        const text = (data as Buffer).toString()
        if (ear.#protocol(text)) return
        ear.heard++
      })
      ear.#identified = resolve
    })
    await deadline(once(socket, 'open'), 5000, 'an open connection')
    socket.send('"primus::id::"')
    await deadline(identified, 5000, 'the id of a spark')
    return ear
  }

  #identified: () => void = () => undefined

  /** Whether it is Primus itself that speaks. */
  #protocol(text: string): boolean {
    let value: unknown
    try {
      value = JSON.parse(text)
    } catch {
      return false
    }
    if (typeof value !== 'string' || !value.startsWith('primus::')) return false
    const [, id] = /^primus::id::(.+)$/.exec(value) ?? []
    const [, time] = /^primus::ping::(\d+)$/.exec(value) ?? []
    if (time !== undefined) this.socket.send(JSON.stringify(`primus::pong::${time}`))
    else if (id !== undefined && this.id === '') {
      this.id = id
      this.#identified()
    } else {
      this.forged.push(value)
      return false
    }
    return true
  }
}
