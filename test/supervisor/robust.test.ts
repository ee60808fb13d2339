import { fork } from 'node:child_process'
import cluster, { type ClusterSettings, type Worker } from 'node:cluster'
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs'
import { Agent, get, type IncomingMessage } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Supervisor, type SupervisorOptions, type WorkerEvent, type WorkerType } from '../../lib/supervisor'
import { assume } from '../support/assume'
import { adopt, using } from '../support/dispose'
import { namespace } from '../support/namespace'
import { killAtExit } from '../support/orphans'
import { anyRedis } from '../support/redis'
import { rejection } from '../support/rejection'
import { deadline, eventually, once } from '../support/wait'
import { longer } from './stage'

const READY = 'me.ready(); setInterval(() => {}, 1000);'
const AT_ONCE: SupervisorOptions = { backoff: { min: 1, max: 20 } }

const program = (name: string): string => join(__dirname, 'programs', `${name}.js`)
const puppet = (SCRIPT: string, terms: Partial<WorkerType> = {}): WorkerType => ({
  exec: program('puppet'),
  ...terms,
  env: { SCRIPT, ...terms.env }
})

/** A supervisor whose workers are killed when the test ends. */
function supervise(types: Record<string, WorkerType>, options: SupervisorOptions = AT_ONCE): Supervisor {
  const supervisor = new Supervisor(types, { signals: false, ...options })
  const watch = (worker: Worker): void => {
    if (worker.process.pid !== undefined) killAtExit(worker.process)
  }
  cluster.on('fork', watch)
  adopt(async () => {
    await supervisor.stop({ grace: 0 })
    cluster.removeListener('fork', watch)
  })
  return supervisor
}

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'metroplex-'))
  using(() => {
    rmSync(path, { recursive: true, force: true })
  })
  return path
}

/**
 * How long workers may take to end, in ms, from attempt to attempt: with the first on an idle machine, with the last on
 * any.
 */
const GRACES = [3000, 9000, 27_000]

/**
 * Starts a worker that answers `/endless` and never ends that answer, asks for it, and ends the worker.
 *
 * The worker leaves itself a tenth of its grace for all that it does after it has closed its connections. How long that
 * takes depends on the machine, so the worker gets more time when it was killed. One that waits for its answer is
 * killed every time.
 *
 * @param script - What the worker runs; it sends its port
 * @param end - How the supervisor ends it
 * @returns The workers that were killed in the last attempt
 */
async function endless(
  script: string,
  end: (supervisor: Supervisor) => Promise<{ readonly killed: readonly string[] }>
): Promise<readonly string[]> {
  let left: readonly string[] = []
  for (const grace of GRACES) {
    const supervisor = supervise({ web: puppet(script, { grace }) })
    const told = once(supervisor, 'message')
    await supervisor.start()
    const [, port] = (await told) as [WorkerEvent, number]
    const request = get({ host: '127.0.0.1', port, path: '/endless' })
    using(() => {
      request.destroy()
    })
    request.on('error', () => undefined)
    const [response] = (await once(request, 'response')) as [IncomingMessage]
    response.resume().on('error', () => undefined)
    left = (await end(supervisor)).killed
    if (left.length === 0) break
  }
  return left
}

/**
 * What a worker runs that is a server with our plugin, has answers that never end, and sends its port.
 *
 * @param own our options, as source
 * @param more what else it does
 */
async function serverWith(own: string, more = ''): Promise<string> {
  const redis = await anyRedis()
  using(() => redis.stop())
  return `const server = require('http').createServer()
    server.on('request', (req, res) => { if (req.url === '/endless') res.write('begun') })
    const Redis = require('ioredis'), redis = new Redis('${redis.url}')
    const options = { transformer: 'websockets', redis, namespace: '${namespace()}', metroplex: ${own} }
    const primus = new (require('primus'))(server, options)
    primus.plugin('metroplex', require('../../../index.js'))
    ${more}
    server.listen(0, '127.0.0.1', () => { me.send(server.address().port) })`
}

describe('A supervisor', () => {
  it("survives malformed messages of a worker: unknown messages are the application's", async () => {
    const bad = ['null', '1', '{}', '{ is: "nothing" }', '[]']
    const supervisor = supervise({
      web: puppet(`${READY} ${bad.map(one => `process.send({ 'metroplex:worker': ${one} });`).join(' ')}`)
    })
    const messages: unknown[] = []
    supervisor.on('message', (_worker, message) => {
      messages.push(message)
    })
    await supervisor.start()
    await eventually(() => messages.length === bad.length)
    assume(supervisor.workers()[0]?.state).equals('ready')
  })

  it('harms no worker by what it cannot understand', async () => {
    const supervisor = supervise({
      web: puppet(`${READY} process.on('message', message => { if (message === 'end') me.send('here') })`)
    })
    await supervisor.start()
    for (const bad of [null, 1, { is: 'drain' }, { is: 'drain', grace: 'long' }])
      await supervisor.send('web-1', { 'metroplex:worker': bad })
    const answer = once(supervisor, 'message')
    await supervisor.send('web-1', 'end')
    assume((await answer)[1]).equals('here')
  })

  it('tries again for a worker that cannot even be tried, and says why', async () => {
    const supervisor = supervise(
      { web: puppet(READY, { env: { LARGE: 'x'.repeat(4_000_000) } }) },
      { ...AT_ONCE, flap: { crashes: 3 } }
    )
    const deaths: WorkerEvent[] = []
    supervisor.on('death', death => {
      deaths.push(death)
    })
    assume((await rejection(supervisor.start())).message).contains('has crashed 3 times')
    assume(deaths[0]?.pid).equals(0)
    assume(deaths[0]?.reason).matches(/^web-1 could not be started: .*E2BIG/)
  })

  it('keeps nothing of workers that could not be started, and has them as soon as they can be', async () => {
    const { execPath } = process
    using(() => {
      cluster.setupPrimary({ execPath } as ClusterSettings)
    })
    cluster.setupPrimary({ execPath: join(folder(), 'none') } as ClusterSettings)
    const supervisor = supervise({ web: puppet(READY) }, { backoff: { min: 1, max: 20 }, flap: { crashes: 1000 } })
    let deaths = 0
    supervisor.on('death', () => {
      if (++deaths === 5) cluster.setupPrimary({ execPath } as ClusterSettings)
    })
    await supervisor.start()
    assume(Object.keys(cluster.workers ?? {}).length).equals(1)
  })

  it('starts and ends workers although its listeners throw, which are uncaught exceptions', async () => {
    const caught: string[] = []
    const others = process.listeners('uncaughtException')
    process.removeAllListeners('uncaughtException')
    process.on('uncaughtException', (error: Error) => {
      caught.push(error.message)
    })
    using(() => {
      process.removeAllListeners('uncaughtException')
      for (const other of others) process.on('uncaughtException', other)
    })
    const supervisor = supervise({ web: puppet(READY) })
    for (const event of ['ready', 'death', 'drain', 'ended', 'recycle'] as const)
      supervisor.on(event, () => {
        throw new Error(event)
      })
    await supervisor.start()
    process.kill(supervisor.workers()[0]?.pid ?? 0, 'SIGKILL')
    await eventually(() => caught.includes('death') && supervisor.workers()[0]?.state === 'ready')
    await supervisor.recycle()
    await supervisor.stop()
    assume([...new Set(caught)].sort()).eql(['death', 'drain', 'ended', 'ready', 'recycle'])
  })

  it('ends with code 0 when SIGTERM comes while its start is awaited', async () => {
    const primary = fork(program('frail'), [JSON.stringify(puppet('setInterval(() => {}, 1000)'))], {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc']
    })
    killAtExit(primary)
    using(() => primary.kill('SIGKILL'))
    await once(primary, 'message', { filter: message => message === 'online' })
    const [ended, exit] = [once(primary, 'message', { filter: message => message === 'ended' }), once(primary, 'exit')]
    primary.kill('SIGTERM')
    await ended
    assume((await exit)[0]).equals(0)
  })

  it('rejects `start` and `resume` at once for those that are known to flap', async () => {
    const supervisor = supervise({ web: puppet('process.exit(1)') }, { ...AT_ONCE, flap: { crashes: 2 } })
    await rejection(supervisor.start())
    assume((await rejection(deadline(supervisor.start(), 5000, 'the second start'))).message).contains(
      'web-1 has crashed 2 times'
    )
    assume((await rejection(deadline(supervisor.resume('web'), 5000, 'resume'))).message).contains(
      'web-1 has crashed 2 times'
    )
  })

  it('has started when a successor was ready before the worker it replaced', async () => {
    const flag = join(folder(), 'flag')
    const first = `const fs = require('fs')
      setInterval(() => {}, 1000)
      if (fs.existsSync(process.env.FLAG)) me.ready()
      else { fs.writeFileSync(process.env.FLAG, ''); me.send('hangs') }`
    const supervisor = supervise({ web: puppet(first, { env: { FLAG: flag } }) })
    const hangs = once(supervisor, 'message')
    const started = supervisor.start()
    await hangs
    await supervisor.recycle()
    await deadline(started, 5000, '`start`')
  })

  it('lets the successor of one that leaves by itself have its place as soon as it is ready', async () => {
    const supervisor = supervise({
      web: puppet(
        `me.onDrain(() => new Promise(() => {})); process.on('message', message => me.send(process.pid)); ${READY}`
      )
    })
    await supervisor.start()
    const old = supervisor.workers()[0]?.pid ?? 0
    await longer(10)
    const ready = once(supervisor, 'ready')
    process.kill(old, 'SIGTERM')
    const [successor] = (await ready) as [WorkerEvent]
    const answer = once(supervisor, 'message')
    await supervisor.send('web-1', 'who?')
    assume((await answer)[1]).equals(successor.pid)
    assume(supervisor.workers().map(({ pid, state }) => `${pid === old ? 'old' : 'new'} ${state}`)).eql([
      'old draining',
      'new ready'
    ])
  })

  it('lets one that leaves by itself as soon as it is ready flap, instead of replacing it at once', async () => {
    const supervisor = supervise(
      { web: puppet(`setInterval(() => {}, 1000); me.ready(); process.kill(process.pid, 'SIGTERM')`) },
      { backoff: { min: 2000, max: 2000 }, flap: { crashes: 3 } }
    )
    let started = 0
    supervisor.on('online', () => {
      started++
    })
    const flapping = once(supervisor, 'flapping')
    await supervisor.start()
    await flapping
    assume(started).equals(3)
  })

  it('tells one that has let go of it, and goes on, to end', async () => {
    const supervisor = supervise({
      web: puppet(`${READY} process.on('message', () => require('cluster').worker.disconnect())`)
    })
    await supervisor.start()
    await supervisor.send('web-1', 'let go')
    await eventually(() => supervisor.workers()[0]?.state === 'draining')
    assume(await supervisor.drain()).eql({ killed: [] })
  })

  it('recycles into what a link leads to then', async () => {
    const path = folder()
    for (const release of ['one', 'two'])
      writeFileSync(
        join(path, `${release}.js`),
        `process.send('${release}'); process.send('ready'); setInterval(() => {}, 1000)`
      )
    const link = join(path, 'current.js')
    symlinkSync(join(path, 'one.js'), link)
    const supervisor = supervise({ web: { exec: link } })
    const said: unknown[] = []
    supervisor.on('message', (_worker, message) => {
      said.push(message)
    })
    await supervisor.start()
    unlinkSync(link)
    symlinkSync(join(path, 'two.js'), link)
    await supervisor.recycle()
    assume(said).eql(['one', 'two'])
  })

  it('recycles all types that have workers, also when another one was drained', async () => {
    const supervisor = supervise({ jobs: puppet(READY), web: puppet(READY) })
    await supervisor.start()
    await supervisor.drain('jobs')
    const old = supervisor.workers('web')[0]?.pid
    await supervisor.recycle()
    assume(supervisor.workers('web').length).equals(1)
    assume(supervisor.workers('web')[0]?.pid).does.not.equal(old)
    assume((await rejection(supervisor.recycle('jobs'))).code).equals('ECLOSED')
  })

  it('does what was asked for last, in any order of calls', async function () {
    this.timeout(120_000)
    const random = (most: number): number => Math.floor(Math.random() * most)
    const life =
      'me.onDrain(() => new Promise(done => setTimeout(done, Math.random() * 40))); setTimeout(() => me.ready(), ' +
      'Math.random() * 40); setInterval(() => {}, 1000)'
    const supervisor = supervise({ web: puppet(life, { count: 2 }) })
    const asked: string[] = []
    const settled: Promise<unknown>[] = []
    const ask = (what: string, promise: Promise<unknown>): void => {
      asked.push(what)
      settled.push(
        promise.catch((error: unknown) => {
          assume((error as { code?: string }).code).matches(/^(ECLOSED|EWORKER)$/)
        })
      )
    }
    ask('start', supervisor.start())
    let [count, open] = [2, true]
    for (let turn = 0; turn < 40; turn++) {
      const what = random(5)
      if (what === 0) ask(`scale ${(count = random(4))}`, supervisor.scale('web', count))
      else if (what === 1) ask('drain', supervisor.drain())
      else if (what === 2) ask('resume', supervisor.resume())
      else if (what === 3) ask('recycle', supervisor.recycle())
      else await new Promise(resolve => setTimeout(resolve, random(80)))
      if (what === 1 || what === 2) open = what === 2
    }
    await deadline(Promise.all(settled), 15_000, `an end of ${asked.join(', ')}`)
    const names = Array.from({ length: open ? count : 0 }, (_, at) => `web-${at + 1} ready`)
    await eventually(
      () =>
        supervisor
          .workers()
          .map(({ name, state }) => `${name} ${state}`)
          .sort()
          .join() === names.join(),
      { what: `${names.join()} after ${asked.join(', ')}` }
    )
  })
})

describe('A worker that ends', () => {
  it('finishes its work when its supervisor has died, although its output has no reader', async () => {
    const log = join(folder(), 'log')
    const script = `const { writeFileSync } = require('fs'); ${READY}
      me.onDrain(async () => {
        for (let line = 0; line < 5; line++) {
          process.stdout.write('line'); process.stderr.write('line')
          await new Promise(setImmediate)
        }
        writeFileSync(process.env.LOG, 'done')
      })`
    const primary = fork(program('frail'), [JSON.stringify(puppet(script, { env: { LOG: log } }))], {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc']
    })
    killAtExit(primary)
    await once(primary, 'message', { filter: message => message === 'ready' })
    primary.kill('SIGKILL')
    await eventually(() => existsSync(log) && readFileSync(log, 'utf8') === 'done', { what: 'the end of its work' })
  })

  it('waits for no connection that it said would stay while it answered', async () => {
    const server = `const server = require('http').createServer((req, res) => {
        me.send('asked')
        process.on('message', message => { if (message === 'answer') res.end(message) })
      })
      server.keepAliveTimeout = 60000
      server.listen(0, '127.0.0.1', () => { me.send(server.address().port); me.ready() })
      me.onDrain(() => { me.send('ends') })`
    const supervisor = supervise({ web: puppet(server, { grace: 8000 }) })
    const told = once(supervisor, 'message')
    await supervisor.start()
    const [, port] = (await told) as [WorkerEvent, number]
    const asked = once(supervisor, 'message')
    const agent = new Agent({ keepAlive: true })
    using(() => {
      agent.destroy()
    })
    const answered = new Promise(resolve =>
      get({ host: '127.0.0.1', port, agent }, res => {
        res.resume().on('end', resolve)
      })
    )
    await asked
    const ends = once(supervisor, 'message')
    const drained = supervisor.drain()
    await ends
    await supervisor.send('web-1', 'answer')
    await answered
    assume(await drained).eql({ killed: [] })
  })

  it('is not kept by an answer of a plain HTTP server that never ends', async function () {
    this.timeout(120_000)
    const script = `const server = require('http').createServer((req, res) => { res.write('begun') })
      server.listen(0, '127.0.0.1', () => { me.send(server.address().port); me.ready() })`
    assume(await endless(script, supervisor => supervisor.stop())).eql([])
  })

  it('is ready when those of its servers are that have not been destroyed', async () => {
    const supervisor = supervise({
      first: puppet('const [a, b] = [me.hold(), me.hold()]; a(true); b(false)'),
      last: puppet('const [a, b] = [me.hold(), me.hold()]; a(false); b(true)'),
      none: puppet('const [a, b] = [me.hold(), me.hold()]; a(false); b(false); me.send("none")', { count: 0 })
    })
    await supervisor.start()
    const none = once(supervisor, 'message')
    const never = supervisor.scale('none', 1)
    await none
    assume(supervisor.workers('none')[0]?.state).equals('starting')
    await supervisor.drain('none')
    assume((await rejection(never)).code).equals('ECLOSED')
  })

  it('leaves its port before its sparks go when peers do not need it, as they talk through Redis', async function () {
    this.timeout(120_000)
    const script = await serverWith(
      "{ transport: 'redis' }",
      'primus.metroplex.drain = async () => { me.send(server.listening) }'
    )
    const supervisor = supervise({ web: puppet(script) })
    await supervisor.start()
    const listening = once(supervisor, 'message')
    assume(await supervisor.drain()).eql({ killed: [] })
    assume((await listening)[1]).equals(false)
  })

  it('is not kept by an answer that never ends, also where peers come to the port of its clients', async function () {
    this.timeout(120_000)
    assume(await endless(await serverWith('{ listen: false }'), supervisor => supervisor.drain())).eql([])
  })
})
