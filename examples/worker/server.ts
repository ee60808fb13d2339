/**
 * Takes jobs from users and puts them into a queue. A process that is no server does them: see worker.ts.
 *
 * Start it as often as you like, with one Redis: it reads REDIS_URL, NAMESPACE and PORT.
 */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Redis } from 'ioredis'
import metroplex from 'metroplex'
import Primus from 'primus'

const { REDIS_URL = 'redis://127.0.0.1:6379', NAMESPACE = 'worker', PORT = '8080' } = process.env

const redis = new Redis(REDIS_URL)
redis.on('error', error => {
  console.error('Redis:', error.message)
})

const server = createServer()
const primus = new Primus(server, {
  transformer: 'websockets',
  redis,
  namespace: `${NAMESPACE}:cluster`,
  metroplex: { user: nameOf }
})
primus.plugin('metroplex', metroplex)
primus.metroplex.on('error', console.error)

/** This trusts the client. Take the name from your own log-in instead. */
function nameOf({ query }: { readonly query?: Readonly<Record<string, unknown>> }): string | undefined {
  return typeof query?.['user'] === 'string' ? query['user'] : undefined
}

primus.on('connection', spark => {
  spark.on('data', message => {
    const { resize } = (message ?? {}) as { resize?: unknown }
    const user = nameOf(spark)
    if (typeof resize !== 'string' || user === undefined) return
    redis.lpush(`${NAMESPACE}:jobs`, JSON.stringify({ user, photo: resize })).catch(console.error)
  })
})

// A worker calls this on all servers,
primus.metroplex.method('clients', () => primus.metroplex.stats().sparks)
// and publishes this event to all servers, which pass it on to their connections.
primus.metroplex.subscribe('finished', ({ jobs }: { jobs: number }) => {
  primus.write({ finished: jobs })
})

server.listen(Number(PORT), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${(server.address() as AddressInfo).port}`)
})
process.once('SIGTERM', () => {
  primus.destroy({ reconnect: true }, () => {
    redis.disconnect()
  })
})
