/**
 * One server of the demo, as you would write it: `npm start` runs three of them, as workers of a supervisor. It reads REDIS_URL, NAMESPACE, PORT, TRANSFORMER and LEASE.
 */
import { createServer } from 'node:http'
import { Redis } from 'ioredis'
import metroplex from 'metroplex'
import Primus from 'primus'
import { chat } from './chat'
import { obey } from './demo/prompter'

const { REDIS_URL = 'redis://127.0.0.1:6379', NAMESPACE = 'chat', PORT = '8080', TRANSFORMER = 'websockets', LEASE = '15000' } = process.env

const server = createServer()
const redis = new Redis(REDIS_URL)
const primus = new Primus(server, {
  transformer: TRANSFORMER,
  redis,
  namespace: NAMESPACE,
  // A WebSocket is one connection, and stays with one worker. SockJS, where it falls back to several, has a port and a worker to itself here.
  iknowclusterwillbreakconnections: true,
  metroplex: { lease: Number(LEASE) }
})

primus.plugin('metroplex', metroplex)
primus.on('connection', spark => { chat(primus, spark) })
// Workers of one type share this port.
server.listen(Number(PORT), '127.0.0.1')

// All that is the demo's: it tells `npm start` what happens here, and does as it is told.
obey(primus, redis)
