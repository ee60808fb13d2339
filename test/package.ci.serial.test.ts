import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { VERSION } from '../lib/reporting/version'
import { assume } from './support/assume'
import { using } from './support/dispose'

const run = promisify(execFile)
const root = join(__dirname, '..', '..')
const bin = (name: string): string => join(root, 'node_modules', '.bin', name)

/** What a user's compiler says; empty when it is content. */
async function tsc(folder: string, ...files: string[]): Promise<string> {
  const flags = [
    '--noEmit',
    '--strict',
    '--exactOptionalPropertyTypes',
    '--target',
    'es2022',
    '--module',
    'nodenext',
    '--types',
    'node'
  ]
  return run(bin('tsc'), [...flags, ...files], { cwd: folder }).then(
    ({ stdout }) => stdout,
    (error: unknown) => (error as { stdout: string }).stdout
  )
}

describe('the package', function () {
  this.timeout(120_000)

  let folder = ''
  let tarball = ''

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'metroplex-package-'))
    const { stdout } = await run('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', folder], {
      cwd: root
    })
    const [packed] = Object.values(JSON.parse(stdout) as Record<string, { filename: string }>)
    tarball = join(folder, packed?.filename ?? '')
    await writeFile(join(folder, 'package.json'), '{ "private": true }')
    await run('npm', ['install', '--prefer-offline', '--no-audit', '--no-fund', tarball, '@types/node@20'], {
      cwd: folder
    })
  })

  after(() => rm(folder, { recursive: true, force: true }))

  it('is the constructor with its two halves when it is required', async () => {
    const { stdout } = await run(
      'node',
      [
        '-p',
        `
      const metroplex = require('metroplex')
      const made = [metroplex({}), new metroplex({})].map(one => one instanceof metroplex)
      const types = [metroplex, metroplex.server, metroplex.client].map(one => typeof one)
      JSON.stringify([...types, metroplex.Metroplex === metroplex, ...made])`
      ],
      { cwd: folder }
    )
    assume(JSON.parse(stdout)).deep.equals(['function', 'function', 'function', true, true, true])
  })

  it('is the same objects when it is imported', async () => {
    const { stdout } = await run(
      'node',
      [
        '--input-type=module',
        '-e',
        `
      import { createRequire } from 'node:module'
      import metroplex, { client, Metroplex, MetroplexError, server } from 'metroplex'
      const required = createRequire(import.meta.url)('metroplex')
      const same = [server === required.server, client === required.client, MetroplexError === required.MetroplexError]
      console.log(JSON.stringify([metroplex === required, Metroplex === required, ...same]))`
      ],
      { cwd: folder }
    )
    assume(JSON.parse(stdout)).deep.equals([true, true, true, true, true])
  })

  it('has a supervisor as an entry of its own, which knows neither Primus nor Redis, and a command', async () => {
    const { stdout } = await run(
      'node',
      [
        '--input-type=module',
        '-e',
        `
      import { createRequire } from 'node:module'
      import supervisor, { MetroplexError, Supervisor, worker } from 'metroplex/supervisor'
      const require = createRequire(import.meta.url)
      const required = require('metroplex/supervisor')
      const foreign = /node_modules.(?!metroplex)/
      const loaded = Object.keys(require.cache).filter(file => foreign.test(file) && !/eventemitter3/.test(file))
      const same = MetroplexError === require('metroplex').MetroplexError
      const heavy = loaded.filter(file => /ioredis|primus|undici/.test(file))
      const one = [supervisor === required, Supervisor === required.Supervisor]
      console.log(JSON.stringify([...one, worker(), same, heavy]))`
      ],
      { cwd: folder }
    )
    assume(JSON.parse(stdout)).deep.equals([true, true, null, true, []])
    const { stdout: version } = await run('npx', ['--no-install', 'metroplex', '--version'], { cwd: folder })
    assume(version.trim()).equals(VERSION)
  })

  it('has the adapter of rooms as an entry of its own', async () => {
    const { stdout } = await run(
      'node',
      [
        '--input-type=module',
        '-e',
        `
      import { createRequire } from 'node:module'
      import rooms, { RoomsAdapter } from 'metroplex/rooms'
      const required = createRequire(import.meta.url)('metroplex/rooms')
      console.log(JSON.stringify([rooms === required, RoomsAdapter === required.RoomsAdapter]))`
      ],
      { cwd: folder }
    )
    assume(JSON.parse(stdout)).deep.equals([true, true])
  })

  it('has the metrics as an entry of its own', async () => {
    const { stdout } = await run(
      'node',
      [
        '--input-type=module',
        '-e',
        `
      import { createRequire } from 'node:module'
      import entry, { livenessHandler, metrics, metricsHandler, readinessHandler } from 'metroplex/metrics'
      const required = createRequire(import.meta.url)('metroplex/metrics')
      const named = { livenessHandler, metrics, metricsHandler, readinessHandler }
      const same = Object.entries(named).map(([name, value]) => value === required[name])
      console.log(JSON.stringify([entry === required, ...same]))`
      ],
      { cwd: folder }
    )
    assume(JSON.parse(stdout)).deep.equals([true, true, true, true, true])
  })

  it('has the dashboard as an entry of its own, with all files of its page', async () => {
    const { stdout } = await run(
      'node',
      [
        '--input-type=module',
        '-e',
        `
      import { createServer } from 'node:http'
      import { createRequire } from 'node:module'
      import { Redis } from 'ioredis'
      import page, { dashboard } from 'metroplex/dashboard'
      const required = createRequire(import.meta.url)('metroplex/dashboard')
      const redis = new Redis({ lazyConnect: true })
      const server = createServer(dashboard({ redis })).listen(0, '127.0.0.1', async () => {
        const at = 'http://127.0.0.1:' + server.address().port
        const found = await Promise.all(['/', '/main.mjs'].map(path => fetch(at + path).then(({ status }) => status)))
        console.log(JSON.stringify([page === required, dashboard === required.dashboard, ...found]))
        process.exit()
      })`
      ],
      { cwd: folder }
    )
    assume(JSON.parse(stdout)).deep.equals([true, true, 200, 200])
  })

  it('gives a strict TypeScript user its types, whichever way it is loaded', async () => {
    await writeFile(
      join(folder, 'user.cts'),
      `
      import metroplex = require('metroplex')
      import { createServer } from 'node:http'
      import { metrics, metricsHandler, readinessHandler, type HttpHandler } from 'metroplex/metrics'
      import { dashboard, type Dashboard, type DashboardOptions } from 'metroplex/dashboard'
      export const page = (options: DashboardOptions): Dashboard => dashboard(options)
      import { RoomsAdapter, type RoomsAdapterOptions } from 'metroplex/rooms'
      import { Supervisor, type WorkerEvent } from 'metroplex/supervisor'
      const terms: RoomsAdapterOptions = { wildcard: false }
      export const rooms: RoomsAdapter = new RoomsAdapter(terms)
      const died = (worker: WorkerEvent): void => { console.log(worker.name, worker.signal) }
      export const supervise = (): Supervisor =>
        new Supervisor({ web: { exec: './server.js' } }).on('death', died)
      const plugin: metroplex.Metroplex = metroplex({}, { namespace: 'a', metroplex: { lease: 2000 } })
      const answer: HttpHandler = metricsHandler(plugin, { labels: { cluster: 'a' } })
      export const scraped = [createServer(answer), createServer(readinessHandler(plugin)), metrics(plugin)]
      const address: Promise<string | null> = plugin.spark('id')
      const chained: metroplex.Metroplex = plugin.servers((error, list) => {
        console.log(error?.message, list?.length)
      })
      plugin.on('reap', (server, ids: string[]) => console.log(server.length, ids.length))
      export const both = [address, chained]
      const paged = (code: metroplex.ErrorCode): void => { console.log(code) }
      plugin.on('error', error => { if (error.code !== undefined) paged(error.code) })
      plugin.spark('id', error => {
        if (error?.code === 'EREGISTRY') console.log(error.cause, error.address, error.maybe)
      })
      plugin.publish('type', 1, (error, result) => {
        console.log(error?.code, result?.failed?.map(({ code }) => { paged(code) }))
      })
      export const codes = async (): Promise<unknown[]> =>
        (await plugin.call('load')).map(({ ok, value, error }) => ok ? value : error.code)
      plugin.on('error', (error: Error) => { console.log(error.message) })
    `
    )
    await writeFile(
      join(folder, 'user.mts'),
      `
      import { createServer } from 'node:http'
      import { dashboard, type DashboardOptions } from 'metroplex/dashboard'
      export const served = (options: DashboardOptions) => createServer(dashboard({ ...options, readOnly: true }))
      import { RoomsAdapter } from 'metroplex/rooms'
      import { Supervisor, worker, type WorkerInfo } from 'metroplex/supervisor'
      export const adapter: RoomsAdapter = new RoomsAdapter()
      export const names = (supervisor: Supervisor): string[] =>
        supervisor.workers().map(({ name }: WorkerInfo) => name)
      worker()?.onDrain(({ grace }: { grace: number }) => { console.log(grace) })
      import metroplex, { type Forward, type Metroplex, MetroplexError, type Result } from 'metroplex'
      const plugin: Metroplex = new metroplex({}, { interval: 1000 })
      export const list: Promise<string[]> = plugin.servers(true)
      export const send = async (forward: Forward): Promise<Result> => forward.broadcast({ any: 'thing' })
      export const code = (error: unknown): string => error instanceof MetroplexError ? error.code : ''
    `
    )
    assume(await tsc(folder, 'user.cts', 'user.mts')).equals('')
  })

  it('refuses what its types refuse', async () => {
    await writeFile(
      join(folder, 'wrong.cts'),
      `
      import metroplex = require('metroplex')
      metroplex({}, { metroplex: { leese: 2000 } })
      metroplex({}, { redis: 'redis://localhost' })
    `
    )
    const said = await tsc(folder, 'wrong.cts')
    assume(said).includes('leese')
    assume(said).includes('RedisClient')
  })

  it('lints clean for both module systems', async () => {
    await run(bin('publint'), ['--strict', join(folder, 'node_modules', 'metroplex')], { cwd: folder })
    const { stdout } = await run(bin('attw'), [tarball])
    assume(stdout).includes('No problems found')
  })

  it('carries no tests, and the documents its user needs', async () => {
    const files = await run('find', ['.', '-type', 'f'], { cwd: join(folder, 'node_modules', 'metroplex') })
    assume(files.stdout).does.not.match(/dist\/(test|examples|bench)/)
    assume(files.stdout).does.not.include('.png')
    for (const file of [
      'README.md',
      'LICENSE',
      'CHANGELOG.md',
      'PROTOCOL.md',
      'examples/send.py',
      'examples/send.sh',
      'examples/monitoring/alerts.yml',
      'examples/monitoring/dashboard.json',
      'docs/migrating.md',
      'dist/index.mjs',
      'dist/index.d.mts',
      'dist/lib/metrics/index.mjs',
      'dist/lib/metrics/index.d.mts',
      'dist/lib/dashboard/index.mjs',
      'dist/lib/dashboard/index.d.mts',
      'dist/lib/dashboard/page/main.mjs',
      'dist/lib/rooms/index.mjs',
      'dist/lib/rooms/index.d.mts',
      'dist/lib/supervisor/index.mjs',
      'dist/lib/supervisor/index.d.mts',
      'dist/lib/cli/metroplex.js'
    ]) {
      assume(files.stdout).includes(`./${file}`)
    }
  })

  it('says of itself the version that it is', async () => {
    const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string }
    assume(VERSION).equals(version)
  })

  it('can be loaded with each ioredis that it allows', async () => {
    for (const name of ['ioredis', 'ioredis5']) {
      const other = await mkdtemp(join(tmpdir(), 'metroplex-ioredis-'))
      using(() => rm(other, { recursive: true, force: true }))
      const { stdout } = await run(
        'node',
        [
          '-p',
          `
        const Redis = require(${JSON.stringify(join(root, 'node_modules', name))})
        const redis = new Redis({ lazyConnect: true })
        require(${JSON.stringify(join(root, 'dist', 'index.js'))})({}, { redis }).redis === redis`
        ],
        { cwd: other }
      )
      assume(stdout.trim()).equals('true')
    }
  })
})
