/**
 * A server that is restarted while its clients stay connected to the cluster, as you would write it:
 * `rolling-restart.ts` runs three of them.
 */
import { createServer } from 'node:http'
import { Redis } from 'ioredis'
import metroplex from 'metroplex'
import Primus from 'primus'
import { Reporter } from './reporter'
import { task } from './task'

const { redisUrl, namespace, port, rate } = task()

const server = createServer()
const redis = new Redis(redisUrl)
const primus = new Primus(server, { redis, namespace })

primus.plugin('metroplex', metroplex)
primus.metroplex.on('error', console.error)
server.listen(port, '127.0.0.1')

// Only for the example: it sends messages to all sparks and reports their results.
const reporter = new Reporter(primus)

process.once('SIGTERM', () => {
  // Takes no new sparks, lets its own move elsewhere, and leaves the registry.
  primus.metroplex
    .drain({ rate })
    .then(drained => reporter.drained(drained))
    .catch(console.error)
    // Sparks that are left after the timeout are ended now.
    .finally(() => {
      primus.destroy({ reconnect: true }, () => {
        redis.disconnect()
      })
    })
})
