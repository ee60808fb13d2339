/** What every subject's server can be told, and the one of this process. */
import type { RedisTarget } from '../../test/support/redis-target'
import { openHttp } from '../peers/http'
import { openIoredis } from '../peers/ioredis'
import { openSocketIo } from '../peers/socketio'
import { openSockets } from '../peers/ws'
import type { Subject } from '../subjects'
import type { Transformer } from './dialects'
import type { Message } from './message'
import { openServer } from './server'
import type { Done } from './window'

/**
 * A server on stage, of any subject.
 *
 * A subject has what its works need. Each function but for `meet` and `pretend` calls back once, with the deliveries or
 * answers that came of it; where no answer says what became of a message, at once.
 */
export interface Actor {
  /** Where clients connect, and other servers if they do. */
  readonly port: number
  /** Resolves when this server can reach the others, which have these ports. */
  meet(others: readonly number[]): Promise<void>
  /** Registers so many sparks that have no clients, and resolves with their ids. */
  pretend?(count: number): Promise<string[]>
  /** Where is it? */
  lookUpOne?(id: string, done: Done): void
  lookUpMany?(ids: readonly string[], done: Done): void
  forwardOne?(id: string, message: Message, done: Done): void
  /** The same, but without a callback and not awaited. Only of a subject that has both. */
  forwardAndForget?(id: string, message: Message): void
  forwardMany?(ids: readonly string[], message: Message, done: Done): void
  /** Lets sparks of any server enter a group. */
  enter?(ids: readonly string[], group: string): Promise<void>
  /** To a group with so many sparks. */
  forwardGroup?(group: string, sparks: number, message: Message, done: Done): void
  /** To all clients, so many on all servers. */
  broadcast?(all: number, message: Message, done: Done): void
}

/** What a server is made of. */
export interface ActorSettings<S extends Subject = Subject> {
  subject: S
  redis: RedisTarget
  namespace: string
  /** For what Primus has several of. */
  transformer: Transformer
  /** Of Primus, beside those that every server has. */
  options: object
}

let one: Actor | undefined

/** The server of this process. */
export function actor(): Actor {
  if (one === undefined) throw new Error('This process has no server yet.')
  return one
}

/** Something that the server of this process can do. */
export function ableTo<K extends keyof Actor>(what: K): NonNullable<Actor[K]> {
  const able = actor()[what]
  if (able === undefined) throw new Error(`This subject knows no ${what}.`)
  return able
}

/** Makes this process a server of the subject. Resolves with its port. */
export async function openActor({ subject, ...rest }: ActorSettings): Promise<number> {
  one = await openOf(subject, rest)
  return one.port
}

/** In the server: see `Actor.meet`. */
export function meet(others: readonly number[]): Promise<void> {
  return actor().meet(others)
}

/** In the server: see `Actor.pretend`. */
export function pretend(count: number): Promise<string[]> {
  return ableTo('pretend')(count)
}

function openOf(subject: Subject, rest: Omit<ActorSettings, 'subject'>): Promise<Actor> {
  switch (subject.kind) {
    case 'primus':
      return openServer({ subject, ...rest })
    case 'socket.io':
      return openSocketIo({ subject, ...rest })
    case 'ioredis':
      return openIoredis({ subject, ...rest })
    case 'ws':
      return openSockets({ subject, ...rest })
    case 'http':
      return openHttp()
  }
}
