/**
 * Chat rooms over several servers. A client says `{ enter: 'lobby' }`, `{ exit: 'lobby' }`,
 * `{ room: 'lobby', text: 'hello' }` or, while its user writes there, `{ room: 'lobby', typing: true }`.
 * `GET /rooms/lobby` says how many are in a room, and who.
 *
 * Start it as often as you like, with one Redis: it reads REDIS_URL, NAMESPACE and PORT.
 */
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Redis } from 'ioredis'
import metroplex from 'metroplex'
import Primus from 'primus'

const { REDIS_URL = 'redis://127.0.0.1:6379', NAMESPACE = 'rooms', PORT = '8080' } = process.env

const redis = new Redis(REDIS_URL)
redis.on('error', error => {
  console.error('Redis:', error.message)
})

const server = createServer((req, res) => {
  answer(req)
    .catch((error: unknown): Answer => [503, { error: (error as Error).message }])
    .then(([status, body]) => {
      res.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    })
    .catch(console.error)
})
const primus = new Primus(server, {
  transformer: 'websockets',
  redis,
  namespace: NAMESPACE,
  metroplex: {
    // This trusts the client. Take the name from your own log-in instead.
    user: ({ query }) => query['user'],
    // Each spark is in the lobby from its start.
    groups: () => roomOf('lobby'),
    // A crash is noticed within 3.4 s then. The default is 15000.
    lease: 2000
  }
})
primus.plugin('metroplex', metroplex)
primus.metroplex.on('error', console.error)

/** A prefix keeps rooms apart from other groups. */
function roomOf(name: string): string {
  return `room:${name}`
}

primus.on('connection', spark => {
  spark.on('data', message => {
    handle(spark, (message ?? {}) as Record<string, unknown>).catch((error: unknown) => {
      // A name that is too long, for example.
      spark.write({ error: (error as Error).message })
    })
  })
})

/** Decide here which rooms a client may enter, and whether it may talk in one that it is not in. */
async function handle(spark: Primus.Spark, message: Record<string, unknown>): Promise<void> {
  const { enter, exit, room, text, typing } = message
  if (typeof enter === 'string') {
    // When this resolves, the messages of all servers reach the spark.
    await primus.metroplex.join(spark, roomOf(enter))
    spark.write({ entered: enter })
  }
  if (typeof exit === 'string') {
    await primus.metroplex.leave(spark, roomOf(exit))
    spark.write({ left: exit })
  }
  if (typeof room === 'string' && (await primus.metroplex.groupsOf(spark.id)).includes(roomOf(room))) {
    const others = { except: spark.id }
    const sent = typing === true ? { room, typing: spark.query['user'] } : { room, text }
    const { send } = await primus.forward.group(roomOf(room), sent, others)
    if (typing !== true) spark.write({ sent: send })
  }
}

type Answer = [status: number, body: unknown]

async function answer(req: IncomingMessage): Promise<Answer> {
  const [, name] = /^\/rooms\/([^/?]+)$/.exec(req.url ?? '') ?? []
  if (name === undefined) return [404, { error: 'There is GET /rooms/NAME.' }]
  const room = roomOf(decodeURIComponent(name))
  const [place] = await primus.metroplex.groups(room)
  const users = new Set<string>()
  for await (const { user } of primus.metroplex.sparksIn(room)) users.add(user ?? 'a guest')
  return [200, { sparks: place?.sparks, servers: place?.servers.length, users: [...users].sort() }]
}

server.listen(Number(PORT), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${(server.address() as AddressInfo).port}`)
})
process.once('SIGTERM', () => {
  primus.destroy({ reconnect: true }, () => {
    redis.disconnect()
  })
})
