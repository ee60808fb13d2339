import { spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Metroplex } from '../../index'
import { Ground } from '../faults/ground'
import { assume } from '../support/assume'
import { openClient } from '../support/client'
import { using } from '../support/dispose'
import { killAtExit } from '../support/orphans'
import { reservePort } from '../support/ports'
import { eventually } from '../support/wait'
import { Fleet } from '../workers/fleet'
import { alerts, dashboard, FOLDER } from './monitoring'
import { installed } from './parse'

const MISSING = installed('prometheus') ? '' : ' (not tried: prometheus is not installed)'

interface Answer {
  readonly status: string
  readonly data: { readonly result: readonly unknown[]; readonly groups: readonly RuleGroup[] }
}

interface RuleGroup {
  readonly rules: readonly { readonly name: string; readonly health: string; readonly state: string }[]
}

/** A Prometheus that scrapes a target each second. Resolves with a function that asks its API. */
async function startPrometheus(target: string): Promise<(path: string) => Promise<Answer>> {
  const folder = await mkdtemp(join(tmpdir(), 'metroplex-prometheus-'))
  using(() => rm(folder, { recursive: true, force: true }))
  const config = join(folder, 'prometheus.yml')
  await writeFile(
    config,
    JSON.stringify({
      global: { scrape_interval: '1s', evaluation_interval: '1s' },
      rule_files: [join(FOLDER, 'alerts.yml')],
      scrape_configs: [{ job_name: 'chat', static_configs: [{ targets: [target] }] }]
    })
  )
  const port = await reservePort()
  const child = spawn(
    'prometheus',
    [
      `--config.file=${config}`,
      `--storage.tsdb.path=${join(folder, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`
    ],
    { stdio: 'ignore' }
  )
  killAtExit(child)
  const ended = new Promise(resolve => child.once('exit', resolve))
  using(() => {
    child.kill('SIGKILL')
    return ended
  })
  return async path => {
    const answer = await fetch(`http://127.0.0.1:${port}/api/v1/${path}`, { headers: { connection: 'close' } })
    return (await answer.json()) as Answer
  }
}

describe('Prometheus', function () {
  this.timeout(120_000)

  it(`scrapes a cluster, and each panel and each rule is answered${MISSING}`, async () => {
    if (MISSING !== '') return
    const ground = await Ground.make(false)
    const fleet = await Fleet.make(ground, 2, {}, { metrics: { port: 0 } })
    await fleet.supervisor.start()
    const [one, other] = fleet.servers
    for (const server of fleet.servers)
      await server.run(primus => {
        const { metroplex } = primus as unknown as { metroplex: Metroplex }
        metroplex.method('load', () => 1)
      })
    const client = await openClient(fleet.url)
    const ask = await startPrometheus(new URL(fleet.supervisor.metricsUrl).host)
    const query = async (expr: string): Promise<readonly unknown[]> => {
      const { status, data } = await ask(`query?query=${encodeURIComponent(expr)}`)
      assume(status).equals('success', expr)
      return data.result
    }
    // Something happens all the time, so that rates have something to show.
    const work = async (): Promise<void> => {
      for (const server of [one, other]) {
        await server?.call('forward.spark', client.id, 'hello')
        await server?.call('metroplex.call', 'load')
      }
    }
    await eventually(
      async () => {
        await work()
        return (await query('count_over_time(metroplex_worker_up[1m]) > 5')).length === 2
      },
      { within: 30_000, every: 200, what: 'scrapes of two workers' }
    )
    const { panels } = dashboard()
    for (const { title, targets } of panels) {
      for (const { expr } of targets) {
        const asked = expr.replaceAll('$__rate_interval', '10s').replaceAll('$job', '.+').replaceAll('$instance', '.+')
        assume((await query(asked)).length).is.above(0, `${title}: ${asked}`)
      }
    }
    assume((await query('up == 1')).length).equals(1)
    const names = alerts().map(({ name }) => name)
    const rules = await eventually(
      async () => {
        const { data } = await ask('rules')
        const found = data.groups.flatMap(({ rules }) => rules)
        return found.length === names.length && found.every(({ health }) => health === 'ok') && found
      },
      { within: 15_000, every: 200, what: 'rules that were evaluated' }
    )
    assume(rules.map(({ name }) => name)).eql(names)
    assume(rules.filter(({ state }) => state === 'firing').map(({ name }) => name)).eql([])
  })
})
