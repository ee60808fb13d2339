/**
 * Who is online, over several servers: `GET /online` lists the users, `GET /news` what has happened.
 *
 * Start it as often as you like, with one Redis: it reads REDIS_URL, NAMESPACE and PORT.
 */
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Redis } from 'ioredis'
import metroplex from 'metroplex'
import Primus from 'primus'

const { REDIS_URL = 'redis://127.0.0.1:6379', NAMESPACE = 'online', PORT = '8080' } = process.env

const redis = new Redis(REDIS_URL)
redis.on('error', error => {
  console.error('Redis:', error.message)
})

const server = createServer((req, res) => {
  answer(req)
    .then(([status, body]) => {
      res.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    })
    .catch((error: unknown) => {
      console.error(error)
      res.writeHead(503).end()
    })
})
const primus = new Primus(server, {
  transformer: 'websockets',
  redis,
  namespace: `${NAMESPACE}:cluster`,
  metroplex: {
    // This trusts the client. Take the name from your own log-in instead.
    user: spark => spark.query['user'],
    // A client that is back within that time was never offline. Clients on real networks may need 10000.
    grace: 2000,
    // A crash is noticed within 3.4 s then. The default is 15000.
    lease: 2000
  }
})
primus.plugin('metroplex', metroplex)
primus.metroplex.on('error', console.error)

// Your database: here a hash of Redis with the greatest number of each user, a set of those online, and a list of news.
const [NUMBERS, ONLINE, NEWS] = [`${NAMESPACE}:numbers`, `${NAMESPACE}:users`, `${NAMESPACE}:news`] as const

/** An event may be told again, or after a newer one: only a greater number than that of the user counts. */
const NOTE = `
  if tonumber(ARGV[3]) <= tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or '0') then return 0 end
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
  redis.call(ARGV[2] == 'online' and 'SADD' or 'SREM', KEYS[2], ARGV[1])
  redis.call('RPUSH', KEYS[3], ARGV[1] .. ' is ' .. ARGV[2])
  return 1`

// It is told again when this fails.
async function note(user: string, state: 'online' | 'offline', at: number): Promise<void> {
  await redis.eval(NOTE, 3, NUMBERS, ONLINE, NEWS, user, state, at)
}

// Each event is told on one of the servers.
const stop = primus.metroplex.watch({
  online: (user, { at }) => note(user, 'online', at),
  offline: (user, { at }) => note(user, 'offline', at)
})

async function answer({ method, url }: IncomingMessage): Promise<[status: number, body: unknown]> {
  if (method === 'GET' && url === '/online') return [200, (await redis.smembers(ONLINE)).sort()]
  if (method === 'GET' && url === '/news') return [200, await redis.lrange(NEWS, 0, -1)]
  return [404, { error: 'There is GET /online, and GET /news.' }]
}

server.listen(Number(PORT), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${(server.address() as AddressInfo).port}`)
})
process.once('SIGTERM', () => {
  stop()
  primus.destroy({ reconnect: true }, () => {
    redis.disconnect()
  })
})
