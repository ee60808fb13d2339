import { Child } from '../../bench/harness/child'
import { fill, openCrew } from '../../bench/simulation/members'
import type { EventsAnswer, ServersAnswer } from '../../lib/dashboard/wire'
import { assume } from '../support/assume'
import { openTab, whyNoBrowser } from '../support/browser'
import { httpAsk } from '../support/dashboard'
import { using } from '../support/dispose'
import { namespace } from '../support/namespace'
import { serveAlone, usedCpu } from '../support/page-process'
import { startRedis } from '../support/redis'
import { elapsed, eventually } from '../support/wait'

const MEMBERS = require.resolve('../../bench/simulation/members')
const PAGE = require.resolve('../support/page-process')

const [SERVERS, SPARKS, PROCESSES] = [1000, 200_000, 2]
/** How long the page looks on, in ms. */
const LOOKING = 20_000
const PERIOD = 2000
/** The tests may have a busy machine, on which all takes several times as long. */
const SLACK = 4

describe('the page of a cluster of 1,000 servers and 200,000 sparks', function () {
  this.timeout(300_000)
  const missing = whyNoBrowser()
  if (missing !== undefined) {
    it(`is not tried here: ${missing}`, () => undefined)
    return
  }

  it('is soon there, and a look costs little CPU', async () => {
    const redis = await startRedis()
    const space = namespace()
    const children = Array.from({ length: PROCESSES }, (_, i) => new Child(`crew ${i}`))
    const page = new Child('page')
    using(() => Promise.all([...children, page].map(child => child.kill())))
    await Promise.all(
      children.map((child, i) =>
        child.run(MEMBERS, openCrew, {
          redis: redis.target,
          namespace: space,
          shards: 1,
          lease: 120_000,
          count: SERVERS / PROCESSES,
          name: `crew-${i}`,
          transport: 'redis' as const
        })
      )
    )
    await Promise.all(children.map(child => child.run(MEMBERS, fill, SPARKS / SERVERS)))
    const url = await page.run(PAGE, serveAlone, { url: redis.url, namespace: space })
    const ask = async (): Promise<ServersAnswer> =>
      JSON.parse((await httpAsk(`${url}api/servers?sort=hurt&page=0`)).body) as ServersAnswer
    await eventually(async () => (await ask()).head.sparks === SPARKS, { within: 60_000, every: 1000 })

    const { page: tab } = await openTab()
    const { ms: painted } = await elapsed(async () => {
      await tab.goto(url)
      await tab.locator('tbody tr').nth(49).waitFor()
    })
    const before = await page.run(PAGE, usedCpu, undefined)
    await tab.waitForTimeout(LOOKING)
    const cost = ((await page.run(PAGE, usedCpu, undefined)) - before) / (LOOKING / PERIOD)
    const { head, servers, pages } = await ask()
    assume([head.servers, head.alive, servers.length, pages]).eql([SERVERS, SERVERS, 50, SERVERS / 50])
    const figures = `${Math.round(painted)} ms until it is there, ${Math.round(cost)} ms of CPU a look`
    if (process.env['METROPLEX_FIGURES'] !== undefined) console.log(`      ${figures}`)
    assume(painted).is.below(1000 * SLACK, figures)
    assume(cost).is.below(100 * SLACK, figures)
    const { events } = JSON.parse((await httpAsk(`${url}api/events?after=0`)).body) as EventsAnswer
    assume(events.filter(({ event }) => event === 'leave')).eql([])
  })
})
