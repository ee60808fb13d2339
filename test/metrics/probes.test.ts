import { createClient } from '../../index'
import { livenessHandler, readinessHandler, type ProbedServer } from '../../lib/metrics'
import { assume } from '../support/assume'
import { using } from '../support/dispose'
import { member } from '../support/member'
import { startRedis } from '../support/redis'
import { once } from '../support/wait'
import { ask } from './ask'

describe('the probes', () => {
  it('say that a server is ready while it serves clients, also without Redis, and not while it drains', async () => {
    const redis = await startRedis()
    const one = member(redis.client(), 'probes', 'http://127.0.0.1:1', { metroplex: { timeout: 300 } })
    const handler = readinessHandler(one)
    const answer = async (): Promise<unknown[]> => {
      const { status, body } = await ask(handler)
      return [status, JSON.parse(body) as unknown]
    }
    assume(await answer()).eql([503, { ready: false, state: 'connecting' }])
    await one.ready()
    assume(await answer()).eql([200, { ready: true, state: 'ready' }])
    const degraded = once(one, 'state', { filter: state => state === 'degraded' })
    await redis.kill()
    await degraded
    assume(await answer()).eql([200, { ready: true, state: 'degraded' }])
    const again = await startRedis({ port: redis.port })
    using(() => again.stop())
    await one.drain({ timeout: 0 })
    assume(await answer()).eql([503, { ready: false, state: 'draining' }])
    await one.close()
    assume(await answer()).eql([503, { ready: false, state: 'destroyed' }])
  })

  it('say that a process lives, whatever its server does', async () => {
    const { status, headers, body } = await ask(livenessHandler())
    assume([status, headers['content-type'], body]).eql([200, 'application/json', '{"live":true}'])
  })

  it('refuse what is no server, in a sentence', async () => {
    const redis = await startRedis()
    const client = createClient({ redis: redis.client() })
    using(() => client.close())
    for (const wrong of [undefined, null, 'a', {}, client])
      assume(() => readinessHandler(wrong as ProbedServer)).throws(/^metroplex: only a server, .+\.$/)
  })
})
