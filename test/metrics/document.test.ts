import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createClient } from '../../index'
import { metrics } from '../../lib/metrics'
import { assume } from '../support/assume'
import { using } from '../support/dispose'
import { createRegistered } from '../support/registered'
import { sharedRedis } from '../support/shared-redis'
import { parse } from './parse'

/** A row of a table of docs/metrics.md. */
interface Row {
  readonly name: string
  /** Whether clients lack it. */
  readonly server: boolean
  readonly type: string
  readonly labels: readonly string[]
}

/** The metrics in the tables of a section. */
function rows(section: string): Row[] {
  const text = readFileSync(join(__dirname, '..', '..', '..', 'docs', 'metrics.md'), 'utf8')
  const [, found = ''] = new RegExp(`^## ${section}$(.*?)(?=^## |\\Z)`, 'ms').exec(text) ?? []
  return [...found.matchAll(/^\| `(metroplex_\w+)`( \*)? \| (\w+) \| (.*?) ?\| \S/gm)].map(
    ([, name = '', star, type = '', labels = '']) => ({
      name,
      server: star !== undefined,
      type,
      labels: [...labels.matchAll(/`(\w+)`/g)].map(([, label = '']) => label)
    })
  )
}

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
    assume(rows('All metrics').length).is.above(40)
    assume(exported(text)).eql(rows('All metrics').map(bare))
  })

  it('says which of these a client lacks', async () => {
    const client = createClient({ redis: shared.redis.client(), namespace: shared.space })
    using(() => client.close())
    const text = await metrics(client, { openMetrics: true })
    const common = rows('All metrics').filter(({ server }) => !server)
    assume(exported(text).map(({ name }) => name)).eql(common.map(({ name }) => name))
  })
})
