import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { assume } from './assume'
import { using } from './dispose'
import { killAtExit } from './orphans'
import { reservePort } from './ports'

/** Reserve ports in another process, which keeps them until the test ends. */
async function elsewhere(count: number): Promise<number[]> {
  const script = `
    const { reservePort } = require(${JSON.stringify(join(__dirname, 'ports.js'))})
    const next = async left => left === 0 ? [] : [await reservePort(), ...await next(left - 1)]
    process.on('disconnect', () => { process.exit() })
    next(${count}).then(ports => { process.send(ports) })`
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  killAtExit(child)
  const exit = once(child, 'exit')
  using(async () => {
    child.disconnect()
    await exit
  })
  const [ports] = (await once(child, 'message')) as [number[]]
  return ports
}

/** Listen on a port until the test ends. */
async function occupy(port: number): Promise<void> {
  const server = createServer().listen(port, '127.0.0.1')
  using(() => {
    server.close()
  })
  await once(server, 'listening')
}

describe('support: a reserved port', () => {
  it('is not reserved by another process', async () => {
    const all = [...(await Promise.all([elsewhere(50), elsewhere(50), elsewhere(50)])), [await reservePort()]].flat()
    assume(new Set(all).size).equals(151)
  })

  it('is not given out again soon', async () => {
    const ports = new Set<number>()
    for (let i = 0; i < 90; i++) ports.add(await reservePort())
    assume(ports.size).equals(90)
  })

  it('is none on which a program listens', async () => {
    const port = await reservePort()
    await occupy(port)
    for (let i = 0; i < 200; i++) assume(await reservePort()).does.not.equal(port)
  })

  it('can be bound by its user, and again after that has ended', async () => {
    const port = await reservePort()
    for (let i = 0; i < 2; i++) {
      const server = createServer().listen(port, '127.0.0.1')
      await once(server, 'listening')
      server.close()
      await once(server, 'close')
    }
  })

  it('lies below those that the system gives to others, and so does the port that Redis Cluster adds', async () => {
    assume((await reservePort()) + 10_000).is.below(32_768)
  })
})
