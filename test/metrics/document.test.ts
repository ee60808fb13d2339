import { createClient } from '../../index'
import { metrics } from '../../lib/metrics'
import { assume } from '../support/assume'
import { using } from '../support/dispose'
import { createRegistered } from '../support/registered'
import { sharedRedis } from '../support/shared-redis'
import { playing, Stage } from '../supervisor/stage'
import { documented, type Row } from './documented'
import { parse } from './parse'

/** The metrics in a text of OpenMetrics, in the form of the table. */
function exported(text: string): Omit<Row, 'server'>[] {
  return parse(text).map(({ name, type, samples }) => ({
    name: type === 'counter' ? `${name}_total` : type === 'info' ? `${name}_info` : name,
    type,
    labels: [...new Set(samples.flatMap(({ labels }) => Object.keys(labels)))].filter(label => label !== 'le').sort()
  }))
}

const bare = ({ name, type, labels }: Omit<Row, 'server'>): object => ({ name, type, labels: [...labels].sort() })

describe('docs/metrics.md', () => {
  const shared = sharedRedis()

  it('lists what a server exports, with types and labels, in the same order', async () => {
    const { metroplex } = await createRegistered({ redis: { url: shared.redis.url, namespace: shared.space } })
    metroplex.method('load', () => 1)
    const text = await metrics(metroplex, { openMetrics: true })
    assume(documented('All metrics').length).is.above(40)
    assume(exported(text)).eql(documented('All metrics').map(bare))
  })

  it('lists what a supervisor adds, with types and labels, in the same order', async () => {
    const stage = new Stage({ web: playing('good') }, { metrics: { port: 0 } })
    await stage.supervisor.start()
    const { metricsUrl } = stage.supervisor
    const answer = await fetch(metricsUrl, { headers: { accept: 'application/openmetrics-text', connection: 'close' } })
    const all = new Set(documented('All metrics').map(({ name }) => name))
    const added = exported(await answer.text()).filter(({ name }) => !all.has(name))
    assume(added).eql(documented('Workers of one machine').map(bare))
  })

  it('says which of these a client lacks', async () => {
    const client = createClient({ redis: shared.redis.client(), namespace: shared.space })
    using(() => client.close())
    const text = await metrics(client, { openMetrics: true })
    const common = documented('All metrics').filter(({ server }) => !server)
    assume(exported(text).map(({ name }) => name)).eql(common.map(({ name }) => name))
  })
})
