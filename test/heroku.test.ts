import { spawn, type ChildProcess } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { assume } from './support/assume'
import { using } from './support/dispose'
import { killAtExit } from './support/orphans'
import { startRedis, type RedisProcess } from './support/redis'
import { chain } from './support/tls'
import { eventually } from './support/wait'

const root = join(__dirname, '..', '..')

/** The program of docs/deploying.md for Heroku. */
function program(): string {
  const [, code = ''] =
    /^```js\n(\/\/ heroku\.js\n.*?)^```$/ms.exec(readFileSync(join(root, 'docs', 'deploying.md'), 'utf8')) ?? []
  assume(code).includes('process.env.REDIS_URL')
  return code
}

/** Runs it in a folder of its own, and collects what it says. */
function run(code: string, redis: RedisProcess): { child: ChildProcess; said: () => string } {
  const folder = mkdtempSync(join(tmpdir(), 'metroplex-heroku-'))
  mkdirSync(join(folder, 'node_modules'))
  symlinkSync(root, join(folder, 'node_modules', 'metroplex'))
  for (const name of ['primus', 'ioredis'])
    symlinkSync(join(root, 'node_modules', name), join(folder, 'node_modules', name))
  writeFileSync(join(folder, 'heroku.js'), code)
  const env = { ...process.env, REDIS_URL: redis.url, PORT: '0', DYNO: 'web.1' }
  const child = spawn(process.execPath, ['heroku.js'], { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'] })
  killAtExit(child, folder)
  let text = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => {
      text += chunk.toString()
    })
  const closed = new Promise(resolve => {
    child.once('close', resolve)
  })
  using(async () => {
    child.kill('SIGKILL')
    await closed
    rmSync(folder, { recursive: true, force: true })
  })
  return { child, said: () => text }
}

const registered = (redis: RedisProcess): Promise<string[]> => redis.ask(client => client.smembers('metroplex:servers'))
const connections = (redis: RedisProcess): Promise<number> =>
  redis.ask(
    async client =>
      String(await client.call('CLIENT', 'LIST'))
        .trim()
        .split('\n').length - 1
  )

describe('the program for Heroku', function () {
  this.timeout(60_000)

  it('registers at a Redis with a self-signed chain, with the documented number of connections', async () => {
    const redis = await startRedis({ tls: chain, args: ['--requirepass', 'secret'] })
    assume(redis.url).matches(/^rediss:/)
    const code = program()
    const heroku = run(code, redis)
    await eventually(async () => (await registered(redis)).length === 1, { within: 20_000, what: 'its registration' })
    const [, documented] =
      /takes (\w+) connections to Redis/.exec(readFileSync(join(root, 'docs', 'deploying.md'), 'utf8')) ?? []
    const words: Record<string, number> = { two: 2, three: 3, four: 4, five: 5 }
    await eventually(async () => (await connections(redis)) === words[documented ?? ''], {
      within: 10_000,
      what: `${documented ?? 'no'} connections`
    })
    assume(heroku.said()).equals('')
  })

  it('does not register without `rejectUnauthorized: false`, and reports why', async () => {
    const redis = await startRedis({ tls: chain, args: ['--requirepass', 'secret'] })
    const heroku = run(program().replace('rejectUnauthorized: false', ''), redis)
    await eventually(() => /self-signed certificate/.test(heroku.said()), { within: 20_000, what: 'the reason' })
    assume(await registered(redis)).deep.equals([])
  })
})
