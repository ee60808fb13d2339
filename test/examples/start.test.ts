import type { Where, Who } from '../../examples/demo/page'
import { assume } from '../support/assume'
import { using } from '../support/dispose'
import { nothingIsLeft, run, type Run } from './run'

const start = (...args: string[]): Promise<Run> => run('start.js', ...args)

describe('npm start', function () {
  this.timeout(90_000)

  it('tells a story that comes true, and ends with 0', async () => {
    const demo = await start('--once')
    const code = await demo.ended
    const text = demo.text()
    assume(code).equals(0, text)
    for (const line of [
      /server 3 {2}registered as http:\/\/127\.0\.0\.1:\d+/,
      /checked {3}the cluster has 12 sparks\n/,
      /server 1 {2}on server 3, at http/,
      /result {"ok":true,"send":1}; nobody else heard it/,
      /result {"ok":true,"send":12}; heard once by each: 4 on server 1, 4 on server 2 and 4 on server 3/,
      /server 3 {2}is killed with SIGKILL/,
      /lease: 2000, so that peers notice within 3\.33 s; with the default lease of 15 s it would take up to 25 s/,
      /server 1 {2}notices \d\.\d\d s after the kill: server 3 has left, 'expired'/,
      /server 2 {2}notices \d\.\d\d s after the kill: server 3 has left, 'expired'/,
      /lou {7}arrives on server [12], \d\.\d\d s after the kill/,
      /checked {3}server 1 and server 2 list each other and no server 3/,
      /checked {3}the cluster has 12 sparks again\n/
    ]) assume(text).matches(line)
    // Three servers, named when they register and one when it is killed, and Redis unless it was there.
    assume(demo.pids().length).is.atleast(4)
    await nothingIsLeft(demo)
  })

  it('serves a page that sends each tab to another server, until SIGINT, and leaves nothing behind', async () => {
    const demo = await start()
    const [, url = ''] = await demo.said(/open (http:\/\/localhost:\d+) in two tabs/)

    const html = await (await fetch(url)).text()
    assume(html).includes('<title>metroplex</title>')
    const where = async (): Promise<Where> => await (await fetch(`${url}/where`)).json() as Where
    const [first, second] = [await where(), await where()]
    assume(first.length).equals(3)
    assume(first.map(({ name }) => name).sort()).deep.equals(['server 1', 'server 2', 'server 4'])
    assume(first[0]?.address).does.not.equal(second[0]?.address)
    for (const { address } of first) {
      assume(await (await fetch(`${address}/primus/primus.js`)).text()).includes('Primus')
    }
    const who = await (await fetch(`${url}/who`)).json() as Who
    assume(Object.values(who.clients).length).equals(12)

    demo.signal('SIGINT')
    assume(await demo.ended).equals(0, demo.text())
    await nothingIsLeft(demo)
  })

  it('replaces a server that dies, and its processes end by themselves when it is killed itself', async () => {
    const demo = await start()
    await demo.said(/Ctrl-C ends it all/)
    const [, pid] = await demo.said(/server 1 {2}registered as .*pid (\d+)/)
    process.kill(Number(pid), 'SIGKILL')
    await demo.said(/server 5 {2}registered as .* a replacement/)
    await demo.said(/server 2 {2}sees server 1 leave: 'expired'/)

    demo.signal('SIGKILL')
    await demo.ended
    await nothingIsLeft(demo)
  })

  it('explains itself, and refuses what it does not know', async () => {
    const help = await start('--help')
    assume(await help.ended).equals(0)
    assume(help.text()).includes('Usage: npm start')
    const unknown = await start('--twice')
    assume(await unknown.ended).equals(2)
    assume(unknown.text()).includes('does not know --twice')
  })

  it('says what is wrong with REDIS_URL', async () => {
    const url = process.env['REDIS_URL']
    using(() => {
      if (url === undefined) delete process.env['REDIS_URL']
      else process.env['REDIS_URL'] = url
    })
    process.env['REDIS_URL'] = 'redis://127.0.0.1:1'
    const demo = await start('--once')
    assume(await demo.ended).equals(1)
    assume(demo.text()).includes('The Redis of REDIS_URL cannot be reached: connect ECONNREFUSED')
  })
})
