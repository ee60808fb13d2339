import { spawn } from 'node:child_process'
import { createServer, type AddressInfo } from 'node:net'
import { Accidents } from './accidents'
import { assume } from './assume'
import { leaksSince, snapshot } from './leaks'
import { once } from './wait'

describe('support: finding leaks', () => {
  it('finds nothing when nothing was left behind', async () => {
    assume(await leaksSince(await snapshot())).deep.equals([])
  })

  it('finds a timer', async () => {
    const before = await snapshot()
    const timer = setTimeout(() => undefined, 60_000)
    const leaks = await leaksSince(before, { grace: 20 })
    clearTimeout(timer)
    assume(leaks).deep.equals(['1 Timeout'])
  })

  it('finds an interval, and waits for one that ends within the grace', async () => {
    const before = await snapshot()
    const interval = setInterval(() => undefined, 5)
    assume(await leaksSince(before, { grace: 20 })).deep.equals(['1 Timeout'])
    setTimeout(() => clearInterval(interval), 20)
    assume(await leaksSince(before)).deep.equals([])
  })

  it('finds a server and tells its port', async () => {
    const before = await snapshot()
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const leaks = await leaksSince(before, { grace: 20 })
    server.close()
    assume(leaks[0]).equals('1 TCPServerWrap')
    assume(leaks.join()).includes(String(port))
  })

  it('finds a child process and tells its name', async () => {
    const before = await snapshot()
    const child = spawn(process.execPath, ['-e', 'setInterval(() => 0, 1000)'], { stdio: 'ignore' })
    const leaks = await leaksSince(before, { grace: 20 })
    child.kill('SIGKILL')
    await once(child, 'exit')
    assume(leaks[0]).equals('1 ProcessWrap')
    assume(leaks.join()).includes(process.execPath)
  })
})

describe('support: noticing accidents', () => {
  // Listens for itself only, or the hooks would fail these very tests.
  const foreign = new Map<string, ((...args: unknown[]) => void)[]>()
  const accidents = new Accidents()

  beforeEach(() => {
    for (const event of ['unhandledRejection', 'warning']) {
      foreign.set(event, process.listeners(event as 'exit') as ((...args: unknown[]) => void)[])
      process.removeAllListeners(event)
    }
    accidents.watch()
  })

  afterEach(() => {
    for (const [event, listeners] of foreign) {
      process.removeAllListeners(event)
      for (const listener of listeners) process.on(event, listener)
    }
  })

  it('records an unhandled rejection once', async () => {
    // eslint-disable-next-line @typescript-eslint/no-floating-promises -- the accident itself
    Promise.reject(new Error('dropped'))
    const [error] = await accidents.take()
    assume(error?.message).includes('dropped')
    assume(await accidents.take()).deep.equals([])
  })

  it('takes down listeners that pile up', async () => {
    const server = createServer()
    for (let i = 0; i < 11; i++) server.on('pile', () => undefined)
    const [warning] = await accidents.take()
    assume(warning?.name).equals('MaxListenersExceededWarning')
  })
})
