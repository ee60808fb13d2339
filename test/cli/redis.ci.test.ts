import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { openRedis } from '../../lib/cli/connect/redis-url'
import { assume } from '../support/assume'
import { using } from '../support/dispose'
import { namespace } from '../support/namespace'
import { startRedis } from '../support/redis'
import { startCluster } from '../support/redis-cluster'
import { startSentinel } from '../support/redis-sentinel'
import { startServer, type ServerOptions } from '../support/server'
import { tls } from '../support/tls'
import { metroplex } from './asked'

describe('the command finds its cluster', function () {
  this.timeout(120_000)

  /** Starts a server, and looks for it with the command. */
  const finds = async (redis: ServerOptions['redis'], url: string, env: NodeJS.ProcessEnv = {}): Promise<void> => {
    const server = await startServer({ redis })
    const args = ['servers', '--json', '--redis', url, '--namespace', redis.namespace ?? '', '--timeout', '10s']
    const { code, stdout, stderr } = await metroplex(args, env)
    assume([code, stderr]).eql([0, ''])
    const { servers } = JSON.parse(stdout) as { servers: { address: string; state: string }[] }
    assume(servers.map(({ address, state }) => [address, state])).eql([[server.address, 'ready']])
  }

  it('through Sentinels', async () => {
    const redis = await startSentinel()
    const hosts = redis.sentinels.map(({ port }) => `127.0.0.1:${port}`).join(',')
    const { name = '' } = redis.target as { name?: string }
    await finds({ ...redis.target, namespace: namespace() }, `sentinel://${hosts}/${name}`)
  })

  it('in a Redis Cluster', async () => {
    const redis = await startCluster()
    const hosts = redis.nodes.map(({ port }) => `127.0.0.1:${port}`).join(',')
    await finds({ ...redis.target, namespace: `{${namespace()}}` }, `cluster://${hosts}`)
  })

  it('with TLS and a password', async () => {
    const redis = await startRedis({ tls: true, args: ['--requirepass', 'a:b@c/d'] })
    const ca = join(redis.directory, 'ca.pem')
    await writeFile(ca, tls.cert)
    const env = { NODE_EXTRA_CA_CERTS: ca }
    await finds({ ...redis.target, namespace: namespace() }, redis.url.replace('127.0.0.1', 'localhost'), env)
  })

  it('by every form of URL', () => {
    const options = (url: string): unknown => {
      const client = openRedis(url, '--redis')
      using(() => {
        client.disconnect()
      })
      const { host, port, db, username, password, path, sentinels, name, sentinelPassword } = client.options as Partial<
        Record<string, unknown>
      >
      return { host, port, db, username, password, path, sentinels, name, sentinelPassword, status: client.status }
    }
    const none = { username: null, password: null, path: null, name: null, sentinels: null, sentinelPassword: null }
    const seen = (url: string): Record<string, unknown> =>
      Object.fromEntries(
        Object.entries(options(url) as object).filter(
          ([key, value]) => value !== undefined && value !== (none as Record<string, unknown>)[key]
        )
      )
    assume(seen('redis://bob:a%40b@example.com:7000/3')).eql({
      host: 'example.com',
      port: 7000,
      db: 3,
      username: 'bob',
      password: 'a@b',
      status: 'wait'
    })
    assume(seen('/tmp/redis.sock')).includes('path')
    assume(seen('sentinel://:pw@one,[::1]:26380/main/2?sentinelPassword=x')).eql({
      host: 'localhost',
      port: 6379,
      db: 2,
      password: 'pw',
      sentinels: [
        { host: 'one', port: 26_379 },
        { host: '::1', port: 26_380 }
      ],
      name: 'main',
      sentinelPassword: 'x',
      status: 'wait'
    })
  })
})
