/**
 * One server of the demo, as you would write it: `npm start` runs three of them, as workers of a supervisor. It reads
 * REDIS_URL, NAMESPACE, PORT, TRANSFORMER and LEASE.
 */
import { createServer } from 'node:http'
import { Redis } from 'ioredis'
import metroplex from 'metroplex'
import Primus from 'primus'
import { chat } from './chat'
import { runCommands } from './demo/commands'

const {
  REDIS_URL = 'redis://127.0.0.1:6379',
  NAMESPACE = 'chat',
  PORT = '8080',
  TRANSFORMER = 'websockets',
  LEASE = '15000'
} = process.env

const server = createServer()
const redis = new Redis(REDIS_URL)
const primus = new Primus(server, {
  transformer: TRANSFORMER,
  redis,
  namespace: NAMESPACE,
  // A WebSocket is one connection and stays with one worker. SockJS may fall back to several connections, so its only
  // worker has a port of its own.
  iknowclusterwillbreakconnections: true,
  metroplex: { lease: Number(LEASE) }
})

primus.plugin('metroplex', metroplex)
primus.on('connection', spark => {
  chat(primus, spark)
})
// Workers of one type share this port.
server.listen(Number(PORT), '127.0.0.1')

// Only for the demo: reports events to `npm start` and runs its commands.
runCommands(primus, redis)
