/**
 * A worker of `primary.ts`, as an application would have it: it listens on the port that all share, or on the one of
 * its place.
 */
import { createServer } from 'node:http'
import { worker } from '../../lib/supervisor'
import { load, loadPlugin, loadPrimus } from '../support/primus-types'
import { connectTo, type Ioredis } from '../support/redis-target'

interface Clustered {
  readonly forward: { spark(id: string, message: unknown): Promise<unknown> }
  readonly metroplex: { method(name: string, fn: (...args: string[]) => unknown): unknown }
}

const { REDIS = '', NAMESPACE = '', PORTS = '' } = process.env
const ports = PORTS.split(',').map(Number)
const place = Number(worker()?.name.split('-').pop())

const server = createServer()
const primus = new (loadPrimus())(server, {
  transformer: 'sockjs',
  iknowclusterwillbreakconnections: true,
  redis: connectTo({ url: REDIS }, load('ioredis') as Ioredis),
  namespace: NAMESPACE
})
primus.plugin('metroplex', loadPlugin('../../index'))

const { forward, metroplex } = primus as unknown as Clustered
metroplex.method('send', (id = '', message) => forward.spark(id, message))
server.listen(ports.length === 1 ? ports[0] : ports[place - 1], '127.0.0.1')
