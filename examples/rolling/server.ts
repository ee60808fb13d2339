/**
 * One server that can be restarted while its clients go on, as you would write it: `rolling-restart.ts` runs three of them.
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

// All that is the example's: it sends to the sparks of all servers, and tells what comes of it.
const reporter = new Reporter(primus)

process.once('SIGTERM', () => {
  // No new sparks; those that are here go, gently; then out of the registry.
  primus.metroplex.drain({ rate })
    .then(drained => reporter.drained(drained))
    .catch(console.error)
    // What is left at the timeout goes now.
    .finally(() => {
      primus.destroy({ reconnect: true }, () => { redis.disconnect() })
    })
})
