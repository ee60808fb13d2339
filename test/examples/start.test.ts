import type { ServersAnswer } from '../../lib/dashboard/wire'
import type { Where, Who } from '../../examples/demo/page'
import { assume } from '../support/assume'
import { using } from '../support/dispose'
import { nothingIsLeft, run, type Run } from './run'

const start = (...args: string[]): Promise<Run> => run('start.js', ...args)

describe('npm start', function () {
  this.timeout(120_000)

  it('tells a story that comes true, and ends with 0', async () => {
    const demo = await start('--once')
    const code = await demo.ended
    const text = demo.text()
    assume(code).equals(0, text)
    for (const line of [
      /web-2 {6}registered as http:\/\/127\.0\.0\.1:\d+/,
      /checked {4}the cluster has 12 sparks\n/,
      /web-1 {6}on web-2, at http/,
      /result {"ok":true,"send":1}; no other client received it/,
      /result {"ok":true,"send":12}; heard once by each: 4 on web-1, 4 on sockjs-1 and 4 on web-2/,
      /web-2 {6}is killed with SIGKILL/,
      /lease: 2000, so that peers notice within 3\.33 s; with the default lease of 15 s it would take up to 25 s/,
      /supervisor web-2 has died: SIGKILL {2}\(pid \d+\)\. Another one takes its place/,
      /web-2 {6}registered as http:\/\/127\.0\.0\.1:\d+ {2}\(pid \d+\), in the place of \d+\n/,
      /web-1 {6}notices \d\.\d\d s after the kill: the old web-2 has left, 'expired'/,
      /sockjs-1 {3}notices \d\.\d\d s after the kill: the old web-2 has left, 'expired'/,
      /cleans up what the old web-2 left behind: 4 spark ids/,
      /(lou|joe) {8}is back at the same URL, on web-[12], \d\.\d\d s after the kill/,
      /checked {4}web-1, sockjs-1 and web-2 list each other, and not the old web-2/,
      /checked {4}the cluster has 12 sparks again, as the new web-2 counts them/
    ])
      assume(text).matches(line)
    // Three workers and a successor, named when they register, and Redis unless it was there.
    assume(new Set(demo.pids()).size).is.atleast(4)
    await nothingIsLeft(demo)
  })

  it('serves a page that sends two tabs to two servers, until SIGINT, and leaves nothing behind', async () => {
    const demo = await start()
    const [, url = ''] = await demo.said(/open (http:\/\/localhost:\d+) in two tabs/)

    const html = await (await fetch(url)).text()
    assume(html).includes('<title>metroplex</title>')
    const where = async (query = ''): Promise<Where> => (await (await fetch(`${url}/where${query}`)).json()) as Where
    const [first, second] = [await where(), await where()]
    assume(first.map(({ transformer }) => transformer).sort()).deep.equals(['sockjs', 'websockets'])
    assume(first[0]?.url).does.not.equal(second[0]?.url)
    assume(await where('?again')).deep.equals(await where('?again'))
    for (const { transformer } of first) {
      assume(await (await fetch(`${url}/primus/${transformer}.js`)).text()).includes('Primus')
    }
    const who = (await (await fetch(`${url}/who`)).json()) as Who
    assume(Object.values(who.servers).sort()).deep.equals(['sockjs-1', 'web-1', 'web-2'])
    assume(Object.values(who.clients).length).equals(12)

    const [, operating = ''] = await demo.said(/open (http:\/\/localhost:\d+) to see and operate the cluster/)
    const { servers } = (await (await fetch(`${operating}/api/servers?sort=name`)).json()) as ServersAnswer
    assume(servers.map(({ name }) => name)).deep.equals(['sockjs-1', 'web-1', 'web-2'])

    demo.signal('SIGINT')
    assume(await demo.ended).equals(0, demo.text())
    await nothingIsLeft(demo)
  })

  it('replaces a server that is killed by hand, under its name; its processes end when it is killed', async () => {
    const demo = await start()
    await demo.said(/Ctrl-C ends it all/)
    const [, pid = ''] = await demo.said(/web-1 {6}registered as .*pid (\d+)\)\n/)
    process.kill(Number(pid), 'SIGKILL')
    await demo.said(new RegExp(`supervisor web-1 has died: SIGKILL {2}\\(pid ${pid}\\)`))
    const [, successor] = await demo.said(
      new RegExp(`web-1 {6}registered as .*pid (\\d+)\\), in the place of ${pid}\n`)
    )
    assume(successor).does.not.equal(pid)
    await demo.said(/sees web-1 join/)
    await demo.said(/sockjs-1 {3}sees the old web-1 leave: 'expired'/)
    await demo.said(/cleans up what the old web-1 left behind: \d+ spark ids/)

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
