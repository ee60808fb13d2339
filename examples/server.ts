/**
 * One server of the demo, as you would write it: `npm start` runs three of them.
 */
import { createServer } from 'node:http'
import { Redis } from 'ioredis'
import metroplex from 'metroplex'
import Primus from 'primus'
import { chat } from './chat'
import { obey } from './demo/prompter'
import { part } from './demo/part'

const { redisUrl, namespace, transformer, lease } = part()

const server = createServer()
const redis = new Redis(redisUrl)
const primus = new Primus(server, { transformer, redis, namespace, metroplex: { lease } })

primus.plugin('metroplex', metroplex)
primus.on('connection', spark => { chat(primus, spark) })
server.listen(0, '127.0.0.1')

// All that is the demo's: it tells `npm start` what happens here, and does as it is told.
obey(primus, redis)
