import { spawn, type ChildProcess } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { assume } from './assume'
import { using } from './dispose'
import { alive } from './orphans'
import { eventually, once } from './wait'

/** A process of ours which starts a Redis and a server, prints their process ids, and waits. */
const program = `
  const { startRedis } = require(${JSON.stringify(join(__dirname, 'redis.js'))})
  const { startServer } = require(${JSON.stringify(join(__dirname, 'server.js'))})
  process.on('message', () => { throw new Error('a crash of the tests') })
  startRedis()
    .then(redis => {
      const server = startServer({ redis: { url: redis.url }, metroplex: '1.0.2' })
      return server.then(({ pid }) => [redis.pid, pid])
    })
    .then(pids => process.send(pids))
`

async function parent(): Promise<{ child: ChildProcess; redis: number; server: number }> {
  const directory = await mkdtemp(join(tmpdir(), 'metroplex-orphans-'))
  using(() => rm(directory, { recursive: true, force: true, maxRetries: 3 }))
  const child = spawn(process.execPath, ['-e', program], {
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    env: { ...process.env, TMPDIR: directory }
  })
  const [pids] = await once(child, 'message', { within: 15_000 })
  const [redis, server] = pids as [number, number]
  // This test leaves nothing behind, also when it fails.
  using(() => {
    for (const pid of [redis, server]) if (alive(pid)) process.kill(pid, 'SIGKILL')
  })
  return { child, redis, server }
}

describe('support: orphans', () => {
  it('are killed when their parent crashes', async () => {
    const { child, redis, server } = await parent()
    assume([redis, server].map(alive)).deep.equals([true, true])
    process.kill(server, 'SIGSTOP')
    child.send('crash')
    await once(child, 'exit')
    await eventually(() => !alive(redis) && !alive(server), { what: 'the end of the orphans' })
  })

  it('which are servers end by themselves when their parent is killed', async () => {
    const { child, server } = await parent()
    child.kill('SIGKILL')
    await eventually(() => !alive(server), { what: 'the end of the server' })
  })
})
