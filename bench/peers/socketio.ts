/**
 * socket.io as a server on stage, with its fastest ordinary settings: over WebSockets alone, uncompressed, without
 * recovery of connections.
 */
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Redis } from 'ioredis'
import { load } from '../../test/support/primus-types'
import { connectTo, type Ioredis } from '../../test/support/redis-target'
import { eventually } from '../../test/support/wait'
import type { Actor, ActorSettings } from '../harness/actor'
import { loadPeer } from '../harness/packages'
import type { SocketIo } from '../subjects'

/** As much of socket.io as is measured. */
interface Io extends Target {
  to(rooms: string | readonly string[]): Target
  in(room: string): Target
  of(namespace: '/'): { adapter: { serverCount(): Promise<number> } }
}

interface Target {
  emit(event: string, message: unknown): boolean
  socketsJoin(room: string): void
  fetchSockets(): Promise<unknown[]>
}

/** An adapter, as socket.io takes it. */
type Adapter = object
type Client = Redis

/** What the packages of the adapters export. */
interface RedisAdapter {
  createAdapter: (
    publisher: Client,
    subscriber: Client,
    options: { publishOnSpecificResponseChannel: boolean }
  ) => Adapter
  createShardedAdapter: (publisher: Client, subscriber: Client) => Adapter
}
interface StreamsAdapter {
  createAdapter: (client: Client) => Adapter
}

/** Longer than anything here lasts: a ping to all clients in the midst of a row would be counted as its work. */
const NEVER = 10 ** 8
const EVENT = 'm'

/** Makes this process a server. */
export async function openSocketIo({ subject, redis }: ActorSettings<SocketIo>): Promise<Actor> {
  const { Server } = loadPeer('socket.io') as { Server: new (http: Server, options: object) => Io }
  const connected = (): Client => connectTo(redis, load('ioredis5') as Ioredis) as Client
  const http = createServer()
  const io = new Server(http, {
    adapter: adapterOf(subject, connected),
    transports: ['websocket'],
    serveClient: false,
    perMessageDeflate: false,
    pingInterval: NEVER
  })
  http.listen(0, '127.0.0.1')
  await once(http, 'listening')
  return {
    port: (http.address() as AddressInfo).port,
    async meet(others) {
      const { adapter } = io.of('/')
      await eventually(async () => (await adapter.serverCount()) === others.length + 1, {
        what: 'all servers',
        within: 20_000
      })
    },
    lookUpOne: (id, done) => {
      io.in(id)
        .fetchSockets()
        .then(
          ({ length }) => done(length === 1 ? null : new Error(`there are ${length} of this socket`), 1),
          (error: unknown) => done(error as Error, 0)
        )
    },
    // No answer says what becomes of these.
    forwardOne: (id, message, done) => {
      io.to(id).emit(EVENT, message)
      done(null, 1)
    },
    forwardMany: (ids, message, done) => {
      io.to(ids).emit(EVENT, message)
      done(null, ids.length)
    },
    async enter(ids, group) {
      io.to(ids).socketsJoin(group)
      await eventually(async () => (await io.in(group).fetchSockets()).length === ids.length, {
        what: `${ids.length} sockets in a room`
      })
    },
    forwardGroup: (group, sparks, message, done) => {
      io.to(group).emit(EVENT, message)
      done(null, sparks)
    },
    broadcast: (all, message, done) => {
      io.emit(EVENT, message)
      done(null, all)
    }
  }
}

function adapterOf({ adapter }: SocketIo, connected: () => Client): Adapter {
  if (adapter === 'streams')
    return (loadPeer('@socket.io/redis-streams-adapter') as StreamsAdapter).createAdapter(connected())
  const { createAdapter, createShardedAdapter } = loadPeer('@socket.io/redis-adapter') as RedisAdapter
  return adapter === 'sharded'
    ? createShardedAdapter(connected(), connected())
    : createAdapter(connected(), connected(), { publishOnSpecificResponseChannel: true })
}
