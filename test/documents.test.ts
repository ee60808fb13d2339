import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { assume } from './support/assume'
import { startRedis, type RedisProcess } from './support/redis'

const run = promisify(execFile)
const root = join(__dirname, '..', '..')

/** The JavaScript of a document, as its reader has it: but for ports, which may be taken, and Redis, which is that of the test. */
async function examples(document: string): Promise<string[]> {
  const text = await readFile(join(root, document), 'utf8')
  return [...text.matchAll(/^```js\n(.*?)^```$/gms)].map(([, code = '']) => code
    .replaceAll('new Redis()', 'new Redis(process.env.REDIS_URL)')
    .replace(/\.listen\(\d+(, '127\.0\.0\.1')?\)/g, ".listen(0, '127.0.0.1')"))
}

/** Runs all examples of a document beside one server, until a client has come and gone. Its folder has what a user would have installed. */
async function ran(document: string, server: string, redis: RedisProcess): Promise<{ stdout: string, stderr: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'metroplex-documents-'))
  try {
    await mkdir(join(folder, 'node_modules'))
    await mkdir(join(folder, 'public'))
    await symlink(root, join(folder, 'node_modules', 'metroplex'))
    for (const name of ['primus', 'ioredis', 'sockjs']) await symlink(join(root, 'node_modules', name), join(folder, 'node_modules', name))
    await writeFile(join(folder, 'server.js'), server)
    const others = (await examples(document)).filter(code => code !== server)
    const files = await Promise.all(others.map(async (code, i) => {
      // What runs in a browser need only be JavaScript.
      const name = `example-${i}.js`
      await writeFile(join(folder, name), code.startsWith('// in the page') ? `() => {\n${code}}` : code)
      return `./${name}`
    }))
    // What an example still waits for when the server is destroyed fails, as it should.
    await writeFile(join(folder, 'run.js'), `
      const { error } = console
      let over = false
      console.error = (...args) => { if (!over) error(...args) }
      const primus = require('./server')
      for (const file of ${JSON.stringify(files)}) require(file)
      primus.metroplex.ready().then(address => {
        const client = new primus.Socket(address)
        client.on('open', () => { client.write({}) })
        primus.on('disconnection', () => {
          over = true
          primus.destroy({}, () => { process.exit() })
        })
        client.on('data', () => { client.end() })
      })`)
    return await run(process.execPath, ['run.js'], { cwd: folder, env: { ...process.env, REDIS_URL: redis.url }, timeout: 15_000 })
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
  // An example may start a server that is never told to leave.
  afterEach(() => redis.ask(client => client.flushall()))

  for (const document of ['README.md', 'docs/cluster.md']) {
    it(`${document} run, and nothing goes wrong`, async () => {
      const { stderr } = await ran(document, server, redis)
      assume(stderr).equals('')
    })
  }
})
