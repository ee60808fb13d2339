import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { assume } from '../support/assume'
import { alerts, dashboard, FOLDER, metricsIn, variables } from './monitoring'
import { promtool, WITHOUT_PROMTOOL } from './parse'
import { documented } from './documented'

/** Names of metrics that docs/metrics.md lists; of histograms also their samples. */
const known = new Set(
  documented().flatMap(({ name, type }) =>
    type === 'histogram' ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name]
  )
)

describe('the dashboard for Grafana', () => {
  const { panels, rows } = dashboard()

  it('uses metrics only that are exported', () => {
    const used = panels.flatMap(({ targets }) => targets.flatMap(({ expr }) => metricsIn(expr)))
    assume(used.filter(name => !known.has(name))).eql([])
  })

  it('shows each metric that is exported, or an alert uses it', () => {
    const expressions = [
      ...panels.flatMap(({ targets }) => targets.map(({ expr }) => expr)),
      ...alerts().map(({ expr }) => expr)
    ]
    const used = new Set(expressions.flatMap(metricsIn).map(name => name.replace(/_(bucket|sum|count)$/, '')))
    assume(
      documented()
        .map(({ name }) => name)
        .filter(name => !used.has(name))
    ).eql([])
  })

  it('has a title, a description, a unit, a data source and legends in each panel', () => {
    assume(panels.length).is.above(30)
    for (const { title, description, fieldConfig, datasource, targets } of panels) {
      assume(title).is.not.empty()
      assume(description).matches(/^[A-Z].+\.$/)
      assume(fieldConfig.defaults.unit).is.not.empty()
      assume(datasource).eql({ type: 'prometheus', uid: '${datasource}' })
      assume(targets).is.not.empty()
      for (const target of targets) {
        assume(target.legendFormat).is.not.empty()
        assume(target.datasource).eql(datasource)
      }
    }
    assume(new Set(panels.map(({ title }) => title)).size).equals(panels.length)
    assume(new Set([...panels, ...rows].map(({ id }) => id)).size).equals(panels.length + rows.length)
  })

  it('selects job and instance in each expression, and rates over the interval of Grafana', () => {
    for (const { targets } of panels) {
      for (const { expr } of targets) {
        const selectors = [...expr.matchAll(/metroplex_\w+(\{[^}]*\})?/g)].map(([, selector = '']) => selector)
        for (const selector of selectors) assume(selector).includes('{job=~"$job",instance=~"$instance"')
        assume(expr).does.not.match(/rate\([^)]*\[(?!\$__rate_interval)/)
      }
    }
  })

  it('rates counters, and nothing else', () => {
    const counters = new Set(documented().flatMap(({ name, type }) => (type === 'counter' ? [name] : [])))
    for (const { title, targets } of panels) {
      for (const { expr } of targets) {
        for (const [, range, name = ''] of expr.matchAll(/(rate\(|increase\()?(metroplex_\w+)\{/g)) {
          const grows = counters.has(name) || /_(bucket|sum|count)$/.test(name)
          assume(range !== undefined).equals(grows, `${title}: ${name}`)
        }
      }
    }
  })

  it('has variables for the data source, the job and the instance, and panels that do not overlap', () => {
    assume(variables()).eql(['datasource', 'job', 'instance'])
    const taken = new Set<string>()
    for (const { gridPos, title } of [...panels, ...rows]) {
      assume(gridPos.x + gridPos.w <= 24).is.true()
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
          assume(taken.has(`${x} ${y}`)).equals(false, title)
          taken.add(`${x} ${y}`)
        }
      }
    }
  })
})

describe('the alert rules for Prometheus', () => {
  it('use metrics only that are exported', () => {
    assume(alerts().length).is.above(15)
    for (const { name, expr } of alerts()) {
      const used = metricsIn(expr)
      assume(used).is.not.empty()
      assume(used.filter(metric => !known.has(metric))).eql([], name)
    }
  })

  it('have a severity, a summary and a description each, and are listed in docs/metrics.md', () => {
    const document = readFileSync(join(FOLDER, '..', '..', 'docs', 'metrics.md'), 'utf8')
    for (const { name, severity, summary, description } of alerts()) {
      assume(['critical', 'warning', 'info']).includes(severity)
      assume(summary).matches(/\.'?$/, name)
      assume(description).matches(/\.$/, name)
      assume(document.includes(`| \`${name}\` | ${severity} |`)).equals(true, name)
    }
  })

  it(`pass promtool, and alert when they should, and not otherwise${WITHOUT_PROMTOOL}`, async () => {
    if (WITHOUT_PROMTOOL !== '') return
    await promtool(['check', 'rules', join(FOLDER, 'alerts.yml')])
    await promtool(['test', 'rules', join(FOLDER, 'alerts.test.yml')])
  })
})
