import { createServer } from 'node:http'
import { supervisorTerms } from '../../lib/supervisor/options'
import { assume } from '../support/assume'
import { using } from '../support/dispose'
import { reservePort } from '../support/ports'
import { eventually, once } from '../support/wait'
import { parse, promtool, valueOf, WITHOUT_PROMTOOL } from '../metrics/parse'
import { playing, program, Stage } from './stage'

/** What a supervisor exports. */
async function scrape({ supervisor }: Stage, accept = 'text/plain'): Promise<string> {
  const answer = await fetch(supervisor.metricsUrl, { headers: { accept, connection: 'close' } })
  assume(answer.status).equals(200)
  return answer.text()
}

/** A worker that does what a text says. */
const doing = (script: string, count = 1): ReturnType<typeof playing> => ({
  exec: program('puppet'),
  env: { SCRIPT: script },
  count
})

const staged = async (
  types: ConstructorParameters<typeof Stage>[0],
  metrics: { port?: number; timeout?: number } = {}
): Promise<Stage> => {
  const stage = new Stage(types, { metrics: { port: 0, ...metrics } })
  await stage.supervisor.start()
  return stage
}

describe('the metrics of a supervisor', () => {
  it('are those of all workers, each with the name of its slot, on one port of 127.0.0.1', async () => {
    const stage = await staged({ web: playing('good', { count: 2 }), jobs: playing('good') })
    assume(stage.supervisor.metricsUrl).matches(/^http:\/\/127\.0\.0\.1:\d+\/metrics$/)
    const text = await scrape(stage)
    for (const worker of ['web-1', 'web-2', 'jobs-1']) {
      assume(valueOf(text, 'metroplex_worker_up', { worker })).equals(1)
      assume(valueOf(text, 'metroplex_worker_starts_total', { worker })).equals(1)
      assume(valueOf(text, 'metroplex_worker_deaths_total', { worker })).equals(0)
      assume(valueOf(text, 'metroplex_process_resident_memory_bytes', { worker })).is.above(1e6)
    }
    assume(valueOf(text, 'metroplex_process_resident_memory_bytes', { worker: 'supervisor' })).is.above(1e6)
    assume(valueOf(text, 'metroplex_workers', { type: 'web', state: 'ready' })).equals(2)
    assume(valueOf(text, 'metroplex_workers', { type: 'web', state: 'backoff' })).equals(0)
    const open = await scrape(stage, 'application/openmetrics-text; version=1.0.0')
    assume(open.endsWith('# EOF\n')).is.true()
    assume(parse(open).length).equals(parse(text).length)
  })

  it(`pass promtool${WITHOUT_PROMTOOL}`, async () => {
    if (WITHOUT_PROMTOOL !== '') return
    await promtool(['check', 'metrics'], await scrape(await staged({ web: playing('good', { count: 2 }) })))
  })

  it('come without a worker whose event loop is blocked, which neither fails nor delays them', async () => {
    const blocked = 'me.ready(); process.on("message", () => { me.send("blocked"); setImmediate(() => { for (;;); }) })'
    const stage = await staged({ web: playing('good'), stuck: doing(blocked) }, { timeout: 500 })
    const told = once(stage.supervisor, 'message', { within: 15_000 })
    await stage.supervisor.send('stuck-1', 'block')
    await told
    const text = await scrape(stage)
    assume(valueOf(text, 'metroplex_worker_up', { worker: 'stuck-1' })).equals(0)
    assume(valueOf(text, 'metroplex_worker_up', { worker: 'web-1' })).equals(1)
    assume(valueOf(text, 'metroplex_process_cpu_seconds_total', { worker: 'web-1' })).is.above(0)
  })

  it('say nothing of a worker that does not load the library', async () => {
    const stage = await staged({ web: playing('good'), deaf: { ...playing('deaf'), grace: 0 } })
    const text = await scrape(stage)
    assume(text).does.not.include('deaf-1"} 0\nmetroplex_worker_up')
    assume(valueOf(text, 'metroplex_workers', { type: 'deaf', state: 'ready' })).equals(1)
    assume(parse(text).find(({ name }) => name === 'metroplex_worker_up')?.samples.length).equals(1)
  })

  it('leave the messages of the application alone', async () => {
    const echo = 'process.on("message", message => me.send(message)); me.ready()'
    const stage = await staged({ web: doing(echo) })
    await scrape(stage)
    const told = once(stage.supervisor, 'message', { within: 15_000 })
    await stage.supervisor.send('web-1', 'hello')
    await told
    assume(stage.told('message').map(({ rest }) => rest)).eql([['hello']])
  })

  it('count starts and deaths in each slot', async () => {
    const stage = await staged({ web: playing('good') })
    const again = once(stage.supervisor, 'ready', { within: 15_000 })
    process.kill(stage.pid('web-1'), 'SIGKILL')
    await again
    const text = await scrape(stage)
    assume(valueOf(text, 'metroplex_worker_starts_total', { worker: 'web-1', type: 'web' })).equals(2)
    assume(valueOf(text, 'metroplex_worker_deaths_total', { worker: 'web-1', type: 'web' })).equals(1)
  })

  it('have a port that, when it is taken, costs no worker, is reported once, and is opened later', async () => {
    const port = await reservePort()
    const other = createServer().listen(port, '127.0.0.1')
    using(() => other.close())
    await once(other, 'listening')
    const stage = await staged({ web: playing('good') }, { port })
    assume(stage.supervisor.metricsUrl).equals('')
    const errors = (): unknown[] =>
      stage.log.filter(({ event }) => event === 'error').map(({ worker }) => (worker as unknown as Error).message)
    assume(errors()[0]).matches(/^metroplex: the metrics cannot be served on 127\.0\.0\.1:\d+: .*EADDRINUSE.+\.$/)
    other.close()
    await eventually(() => stage.supervisor.metricsUrl !== '', { within: 15_000, what: 'the port' })
    assume(errors().length).equals(1)
  })

  it('are at /metrics alone, and gone when the supervisor has stopped', async () => {
    const stage = await staged({ web: playing('good') })
    const { metricsUrl } = stage.supervisor
    const { status } = await fetch(metricsUrl.replace('/metrics', '/'), { headers: { connection: 'close' } })
    assume(status).equals(404)
    await stage.supervisor.stop({ grace: 5000 })
    assume(stage.supervisor.metricsUrl).equals('')
    assume(
      await fetch(metricsUrl).then(
        () => 'answered',
        () => 'refused'
      )
    ).equals('refused')
  })

  it('are not served unless they are asked for, with options that are checked', () => {
    assume(supervisorTerms({}).metrics).equals(undefined)
    assume(supervisorTerms({ metrics: { port: 9100 } }).metrics).eql({ port: 9100, host: '127.0.0.1', timeout: 1000 })
    const wrong = [
      true,
      null,
      {},
      { port: '1' },
      { port: 65_536 },
      { port: 1, host: '' },
      { port: 1, timeout: 0 },
      { prt: 1 }
    ]
    for (const metrics of wrong) assume(() => supervisorTerms({ metrics })).throws(/^metroplex: .+[.?]$/)
  })
})
