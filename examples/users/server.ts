/**
 * Messages to users on any server: `POST /users/ann` sends a JSON value to all connections of Ann. `GET /online`
 * lists the users that are online.
 *
 * Start it as often as you like, with one Redis: it reads REDIS_URL, NAMESPACE and PORT.
 */
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Redis } from 'ioredis'
import metroplex from 'metroplex'
import Primus from 'primus'

const { REDIS_URL = 'redis://127.0.0.1:6379', NAMESPACE = 'users', PORT = '8080' } = process.env

/** The largest body that is accepted, in characters. */
const LONGEST = 65_536

const redis = new Redis(REDIS_URL)
redis.on('error', error => {
  console.error('Redis:', error.message)
})

const server = createServer((req, res) => {
  answer(req)
    .catch(refusal)
    .then(([status, body]) => {
      res.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    })
    .catch(console.error)
})
const primus = new Primus(server, {
  transformer: 'websockets',
  redis,
  namespace: `${NAMESPACE}:cluster`,
  metroplex: {
    user: nameOf,
    // A crash is noticed within 3.4 s then. The default is 15000.
    lease: 2000
  }
})
primus.plugin('metroplex', metroplex)
primus.metroplex.on('error', console.error)

/**
 * This trusts the client. Take the name from your own log-in instead: from a cookie in `spark.headers`, for example.
 */
function nameOf({ query }: { readonly query?: Readonly<Record<string, unknown>> }): string | undefined {
  return typeof query?.['user'] === 'string' ? query['user'] : undefined
}

// A user that logs in after connecting is named then.
primus.on('connection', spark => {
  spark.on('data', message => {
    const { login } = (message ?? {}) as { login?: unknown }
    if (typeof login === 'string') logIn(spark, login).catch(console.error)
  })
})

async function logIn(spark: Primus.Spark, user: string): Promise<void> {
  await primus.metroplex.identify(spark, user)
  online(spark, user)
  spark.write({ welcome: user })
}

// Your database of online users: here a hash of Redis, from spark ids to users.
const ONLINE = `${NAMESPACE}:online`
const here = new Map<string, string>()

function online(spark: Primus.Spark, user: string): void {
  here.set(spark.id, user)
  redis.hset(ONLINE, spark.id, user).catch(console.error)
}

function offline(...ids: string[]): void {
  for (const id of ids) here.delete(id)
  redis.hdel(ONLINE, ...ids).catch(console.error)
}

primus.on('connection', spark => {
  const user = nameOf(spark)
  if (user !== undefined) online(spark, user)
})
primus.on('disconnection', spark => {
  offline(spark.id)
})
// A server that is killed marks no user offline. One of the others gets its spark ids,
primus.metroplex.on('reap', (_address, ids) => {
  offline(...ids)
})
// and a server that was only paused marks its own users online again.
primus.metroplex.on('heal', () => {
  if (here.size > 0) redis.hset(ONLINE, here).catch(console.error)
})

type Answer = [status: number, body: unknown]

async function answer(req: IncomingMessage): Promise<Answer> {
  if (req.method === 'GET' && req.url === '/online') return [200, [...new Set(await redis.hvals(ONLINE))].sort()]
  const [, name] = /^\/users\/([^/?]+)$/.exec(req.url ?? '') ?? []
  if (req.method !== 'POST' || name === undefined)
    return [404, { error: 'There is POST /users/NAME, and GET /online.' }]
  const { send, missing, failed } = await primus.forward.user(decodeURIComponent(name), await json(req))
  // Some of a user's connections may have it when others do not.
  if (failed) return [502, { send, failed }]
  return missing ? [404, { send, error: 'Is not connected.' }] : [200, { send }]
}

async function json(req: IncomingMessage): Promise<unknown> {
  let text = ''
  for await (const chunk of req.setEncoding('utf8')) {
    text += String(chunk)
    if (text.length > LONGEST) throw new RangeError(`A message has ${LONGEST} characters at most.`)
  }
  return JSON.parse(text)
}

/** A wrong argument is a TypeError or a RangeError; a failure of the cluster is a MetroplexError with a code. */
function refusal(error: Error): Answer {
  const wrong = [TypeError, RangeError, SyntaxError, URIError].some(type => error instanceof type)
  return [wrong ? 400 : 503, { error: error.message }]
}

server.listen(Number(PORT), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${(server.address() as AddressInfo).port}`)
})
process.once('SIGTERM', () => {
  primus.destroy({ reconnect: true }, () => {
    redis.disconnect()
  })
})
