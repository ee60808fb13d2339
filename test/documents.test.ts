import { execFile, spawn } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { runInNewContext } from 'node:vm'
import { assume } from './support/assume'
import { using } from './support/dispose'
import { withModules } from './support/modules'
import { killAtExit } from './support/orphans'
import { reservePort } from './support/ports'
import { startRedis, type RedisProcess } from './support/redis'
import { eventually, once } from './support/wait'

const run = promisify(execFile)
const root = join(__dirname, '..', '..')

/**
 * The JavaScript of a document, as its reader has it: but for ports, which may be taken, and Redis, which is that of
 * the test.
 */
async function examples(document: string): Promise<string[]> {
  const text = await readFile(join(root, document), 'utf8')
  return [...text.matchAll(/^```js\n(.*?)^```$/gms)].map(([, code = '']) =>
    code
      .replaceAll('new Redis()', 'new Redis(process.env.REDIS_URL)')
      .replace(/\.listen\((?:process\.env\.PORT \?\? )?\d+(, '127\.0\.0\.1')?\)/g, ".listen(0, '127.0.0.1')")
  )
}

/** Makes a folder with what a user would have installed. */
async function installed(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'metroplex-documents-'))
  await mkdir(join(folder, 'node_modules'))
  await symlink(root, join(folder, 'node_modules', 'metroplex'))
  for (const name of ['primus', 'primus-rooms', 'ioredis', 'ws', 'sockjs', 'express', 'fastify'])
    await symlink(join(root, 'node_modules', name), join(folder, 'node_modules', name))
  return folder
}

/** Runs all examples of a document beside one server, until a client has come and gone. */
async function ran(document: string, server: string, redis: RedisProcess): Promise<{ stdout: string; stderr: string }> {
  const folder = await installed()
  try {
    await mkdir(join(folder, 'public'))
    await writeFile(join(folder, 'server.js'), server)
    // A supervisor has a process for itself: it is that of docs/deploying.md, and run there.
    // Clients have a test of their own.
    const others = (await examples(document)).filter(
      code => code !== server && !code.startsWith('// main.js') && !code.startsWith('// client.js')
    )
    const files = await Promise.all(
      others.map(async (code, i) => {
        // What runs in a browser need only be JavaScript.
        const name = `example-${i}.js`
        await writeFile(join(folder, name), code.startsWith('// in the page') ? `() => {\n${code}}` : code)
        return `./${name}`
      })
    )
    // What an example still waits for when the server is destroyed fails, as it should.
    await writeFile(
      join(folder, 'run.js'),
      `
      const { error } = console
      let over = false
      console.error = (...args) => { if (!over) error(...args) }
      const primus = require('./server')
      for (const file of ${JSON.stringify(files)}) require(file)
      primus.metroplex.ready().then(address => {
        const client = new primus.Socket(address)
        client.on('open', () => { client.write({ to: 'unknown' }) })
        primus.on('disconnection', () => {
          over = true
          primus.destroy({}, () => { process.exit() })
        })
        client.on('data', () => { client.end() })
      })`
    )
    return await run(process.execPath, ['run.js'], {
      cwd: folder,
      env: { ...process.env, ...withModules(), REDIS_URL: redis.url },
      timeout: 45_000
    })
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

describe('the examples of', function () {
  let redis: RedisProcess
  let server: string

  before(async () => {
    redis = await startRedis({ scope: 'suite' })
    server = (await examples('README.md'))[0] as string
    assume(server).includes('// server.js')
  })
  after(() => redis.stop())
  // An example may start a server that is never told to leave: it is killed after the test, and may beat until then.
  beforeEach(() => redis.ask(client => client.flushall()))

  for (const document of [
    'README.md',
    'docs/api.md',
    'docs/cluster.md',
    'docs/groups.md',
    'docs/metrics.md',
    'docs/presence.md'
  ]) {
    it(`${document} run, and nothing goes wrong`, async () => {
      const { stderr } = await ran(document, server, redis)
      assume(stderr).equals('')
    })
  }

  it('README.md pass a message between clients of two servers', async () => {
    const folder = await installed()
    using(() => rm(folder, { recursive: true, force: true }))
    const client = (await examples('README.md')).find(code => code.startsWith('// client.js')) ?? ''
    await writeFile(join(folder, 'server.js'), server)
    await writeFile(
      join(folder, 'print.js'),
      "require('./server').metroplex.ready().then(address => { console.log(address) }, console.error)"
    )
    const start = async (): Promise<string> => {
      const child = spawn(process.execPath, ['print.js'], {
        cwd: folder,
        env: { ...process.env, ...withModules(), REDIS_URL: redis.url }
      })
      killAtExit(child)
      const ended = once(child, 'exit')
      using(() => {
        child.kill('SIGKILL')
        return ended
      })
      const [address] = (await once(child.stdout, 'data')) as [Buffer]
      return address.toString().trim()
    }
    const [first, second] = await Promise.all([start(), start()])
    await writeFile(
      join(folder, 'client.js'),
      `${client.replace('http://localhost:8080', first).replace('http://localhost:8081', second)}
      let open = 2
      for (const one of [alice, bob]) one.once('data', () => { if (--open === 0) process.exit() })`
    )
    const { stdout } = await run(process.execPath, ['client.js'], { cwd: folder, timeout: 45_000 })
    assume(stdout).includes("text: 'hello'")
    assume(stdout).includes(`alice received { ok: true, address: '${second}' }`)
  })

  it('docs/dashboard.md serve the page', async () => {
    const programs = await examples('docs/dashboard.md')
    const names = programs.map(code => /^\/\/ (\S+\.js)\n/.exec(code)?.[1])
    assume(names).eql(['http.js', 'express.js', 'fastify.js'])
    for (const [i, program] of programs.entries()) {
      const [folder, port] = await Promise.all([installed(), reservePort()])
      using(() => rm(folder, { recursive: true, force: true }))
      await writeFile(
        join(folder, 'program.js'),
        program.replace(/\.listen\(0,/, `.listen(${port},`).replace('port: 8090', `port: ${port}`)
      )
      const child = spawn(process.execPath, ['program.js'], {
        cwd: folder,
        env: { ...process.env, ...withModules(), REDIS_URL: redis.url, NODE_ENV: 'production' }
      })
      killAtExit(child)
      const ended = new Promise(resolve => {
        child.once('exit', resolve)
      })
      using(() => {
        child.kill('SIGKILL')
        return ended
      })
      const base = `http://127.0.0.1:${port}${i === 0 ? '' : '/cluster'}/`
      const operator = { headers: { 'x-role': 'operator' } }
      const { head } = await eventually(
        async () => (await (await fetch(`${base}api/servers`, operator)).json()) as { head: { namespace: string } },
        { within: 15_000, what: `the page of ${names[i] ?? ''}` }
      )
      assume(head.namespace).equals('chat')
      assume(await (await fetch(base, operator)).text()).includes('<title>metroplex</title>')
      assume((await fetch(`${base}api/servers`)).status).equals(names[i] === 'express.js' ? 403 : 200)
    }
  }).timeout(90_000)

  describe('docs/deploying.md', () => {
    /** Its programs, by the names in their first lines. */
    async function programs(ports: readonly number[]): Promise<Map<string, string>> {
      const [port = 0] = ports
      const named = (await examples('docs/deploying.md')).map(
        code => [/^\/\/ (\S+\.js)\n/.exec(code)?.[1], code] as const
      )
      return new Map(
        named.flatMap(([name, code]) =>
          name === undefined
            ? []
            : [
                [
                  name,
                  code
                    .replace('.listen(0,', `.listen(${port},`)
                    .replace(/8080 \+ (Number\(.*?\)\))/, `${JSON.stringify(ports)}[$1 - 1]`)
                ]
              ]
        )
      )
    }

    /** Runs one of them until there are so many servers, and ends it as a process manager would. */
    async function ends(
      program: string,
      servers: number,
      signal: NodeJS.Signals,
      change = (code: string): string => code
    ): Promise<void> {
      const [folder, ...ports] = await Promise.all([
        installed(),
        reservePort(),
        reservePort(),
        reservePort(),
        reservePort()
      ])
      using(() => rm(folder, { recursive: true, force: true }))
      for (const [name, code] of await programs(ports))
        await writeFile(join(folder, name), name === program ? change(code) : code)
      const child = spawn(process.execPath, [program], {
        cwd: folder,
        env: { ...process.env, ...withModules(), REDIS_URL: redis.url },
        stdio: ['ignore', 'pipe', 'pipe']
      })
      killAtExit(child)
      let [told, said] = ['', '']
      child.stdout.on('data', (chunk: Buffer) => {
        told += chunk.toString()
      })
      child.stderr.on('data', (chunk: Buffer) => {
        said += chunk.toString()
      })
      const ended = new Promise<number | null>(resolve => {
        child.once('exit', resolve)
      })
      using(() => {
        child.kill('SIGKILL')
        return ended
      })
      const there = (): Promise<string[]> => redis.ask(client => client.smembers('metroplex:servers'))
      await eventually(
        async () => {
          assume(said).equals('')
          // A supervisor that is told to end before all are ready says so.
          return (await there()).length === servers && (program !== 'main.js' || told === 'all are ready\n')
        },
        { within: 15_000, what: `${servers} servers of ${program}` }
      )
      child.kill(signal)
      assume(await ended).equals(0, said)
      assume(said).equals('')
      assume(await there()).eql([])
    }

    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      it(`has a server that ends in good order at ${signal}`, () => ends('one.js', 1, signal))
    }

    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      it(`has workers of node:cluster that are a server each, and end in good order at ${signal}`, () =>
        ends('cluster.js', 4, signal))
    }

    it('has the supervisor that is in the README', async () => {
      assume((await programs([])).get('main.js')).equals(
        (await examples('README.md')).find(code => code.startsWith('// main.js'))
      )
    })

    it('has a supervisor whose workers are a server each, and end in good order', () => ends('main.js', 4, 'SIGTERM'))

    it('has supervised workers with a port for each', () =>
      ends('main.js', 4, 'SIGTERM', code => code.replace('server.js', 'ports.js')))

    it('has files for PM2 that name programs which are there', async () => {
      const known = await programs([])
      for (const name of ['ecosystem.config.js', 'fork.config.js']) {
        const file: { exports?: { apps: { script: string }[] } } = {}
        runInNewContext(known.get(name) ?? '', { module: file })
        assume(file.exports?.apps.map(({ script }) => known.has(script.replace('./', '')))).eql([true])
      }
    })
  })
})
