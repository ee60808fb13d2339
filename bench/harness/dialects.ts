/** What servers and their clients say to each other over a WebSocket, as far as a client has to know. */
import { randomUUID } from 'node:crypto'
import type { Message } from './message'

/** Of Primus: which protocol lies below its own. */
export type Transformer = 'websockets' | 'sockjs'

/** How a client speaks with a server. */
export interface Dialect {
  /** Where it connects, on port 0. */
  path(): string
  /** Takes what the server says at first, and `null` when the connection is open; answers, until it has its id. */
  introduce(heard: string | null, say: (text: string) => void): string | undefined
  /** Whether what came is a message, rather than something among those who speak. */
  isMessage(data: Buffer): boolean
  /** That message. */
  read(text: string): Message
}

const ask = JSON.stringify('primus::id::')

/** The id in Primus's answer. */
function idOf(answer: string): string {
  const [, id] = /^"primus::id::(.*)"$/.exec(answer) ?? []
  if (id === undefined) throw new Error(`a server said '${answer}' instead of the id of a spark`)
  return id
}

const [A, FOUR, TWO] = Buffer.from('a42')

/** Primus over ws, and the controls. */
const websockets: Dialect = {
  path: () => '/primus',
  introduce: (heard, say) => {
    if (heard !== null) return idOf(heard)
    say(ask)
    return undefined
  },
  // Pings are off: there is nothing else.
  isMessage: () => true,
  read: text => JSON.parse(text) as Message
}

/** Primus over SockJS, of which the transport is a WebSocket, too. */
const sockjs: Dialect = {
  path: () => `/primus/000/${randomUUID()}/websocket`,
  introduce: (heard, say) => {
    if (heard === 'o') say(JSON.stringify([ask]))
    return heard?.startsWith('a') === true ? idOf((JSON.parse(heard.slice(1)) as string[])[0] ?? '') : undefined
  },
  isMessage: data => data[0] === A,
  read: text => JSON.parse((JSON.parse(text.slice(1)) as string[])[0] ?? '') as Message
}

/** socket.io 4 on engine.io 4: `4` is a message of the latter, `0` one of the former that connects, `2` an event. */
const socketio: Dialect = {
  path: () => '/socket.io/?EIO=4&transport=websocket',
  introduce: (heard, say) => {
    if (heard?.startsWith('0') === true) say('40')
    return heard?.startsWith('40') === true ? (JSON.parse(heard.slice(2)) as { sid: string }).sid : undefined
  },
  isMessage: data => data[0] === FOUR && data[1] === TWO,
  read: text => (JSON.parse(text.slice(2)) as [string, Message])[1]
}

export const dialects = { websockets, sockjs, socketio }
