import { assume } from '../support/assume'
import { openTab, whyNoBrowser, type BrowserOptions, type Tab } from '../support/browser'
import { openClient } from '../support/client'
import { servePage } from '../support/dashboard'
import { createRegistered, type Registered } from '../support/registered'
import { startRedis } from '../support/redis'
import { sharedRedis } from '../support/shared-redis'
import { startServer } from '../support/server'
import { eventually } from '../support/wait'

/** What would run, or change the page, if it were more than text. */
const MARKUP = `<img src="x" onerror="document.title='broken'"><b>bold</b>`
const LEASE = 6000

describe('the page of a cluster in a browser', function () {
  this.timeout(180_000)
  const missing = whyNoBrowser()
  if (missing !== undefined) {
    it(`is not tried here: ${missing}`, () => undefined)
    return
  }
  const shared = sharedRedis()
  const registry = (): { url: string; namespace: string } => ({ url: shared.redis.url, namespace: shared.space })

  const start = (name: string): Promise<Registered> =>
    createRegistered({
      redis: registry(),
      primus: {
        metroplex: { name, lease: LEASE, user: () => MARKUP, groups: () => ['news'], info: () => ({ agent: MARKUP }) }
      }
    })

  /** Serves the page, and opens it in a browser. */
  const open = async (
    place = '',
    options: object = {},
    browser: BrowserOptions = {}
  ): Promise<Tab & { url: string }> => {
    const { url } = await servePage(shared.redis.url, { namespace: shared.space, ...options })
    const tab = await openTab(browser)
    await tab.page.goto(url + place)
    return { ...tab, url }
  }

  it('shows the servers, and within the lease that one has died', async () => {
    await start('web-1')
    const doomed = await startServer({ redis: registry(), primus: { metroplex: { name: 'web-2', lease: LEASE } } })
    const { page, wrong } = await open()
    const rows = page.locator('tbody tr')
    await rows.filter({ hasText: 'web-2' }).filter({ hasText: 'ready' }).waitFor()
    assume(await rows.count()).equals(2)
    assume(await page.locator('.badge').count()).equals(0)
    await doomed.kill()
    await rows.filter({ hasText: 'web-2' }).and(page.locator(':has(.h3)')).waitFor()
    assume(await rows.first().textContent()).includes('web-2')
    await page.locator('.badge').waitFor()
    await rows.filter({ hasText: 'web-2' }).waitFor({ state: 'detached', timeout: 60_000 })
    await page.getByRole('link', { name: 'Events' }).click()
    await page.locator('tr', { hasText: 'leave' }).filter({ hasText: 'web-2' }).waitFor()
    assume(wrong).eql([])
  })

  it('opens while Redis is away, says what it dialled, and recovers', async () => {
    const redis = await startRedis()
    await createRegistered({
      redis: { url: redis.url, namespace: shared.space },
      primus: { metroplex: { name: 'web-1' } }
    })
    await redis.kill()
    const { url } = await servePage(redis.url, { namespace: shared.space, metroplex: { timeout: 500 } })
    const { page, wrong } = await openTab()
    await page.goto(url)
    const banner = page.getByRole('alert')
    await banner.filter({ hasText: 'ECONNREFUSED' }).waitFor()
    assume(await banner.textContent()).matches(
      new RegExp(`^Redis at 127\\.0\\.0\\.1:${redis.port} cannot be asked: .* every 3 s`)
    )
    await redis.restart()
    await page.locator('tbody tr', { hasText: 'web-1' }).waitFor()
    await banner.waitFor({ state: 'hidden' })
    await redis.kill()
    await banner.filter({ hasText: 'What you see is from' }).waitFor()
    assume(await page.locator('tbody tr').count()).equals(1)
    await redis.restart()
    await banner.waitFor({ state: 'hidden' })
    assume(wrong).eql([])
  })

  it('finds a user by the keyboard alone, shows markup as text, and ends sparks when confirmed', async () => {
    const a = await start(MARKUP)
    const client = await openClient(a.url, { options: { strategy: false } })
    const { page, wrong } = await open()
    await page.locator('tbody tr').waitFor()
    assume(await page.locator('td.name a').textContent()).equals(MARKUP)
    await page.keyboard.press('/')
    await page.keyboard.type(MARKUP)
    await page.keyboard.press('Enter')
    await page.getByRole('heading', { name: 'User' }).waitFor()
    assume(await page.locator('h1').textContent()).equals(MARKUP)
    await page.locator('tbody a').first().click()
    await page.locator('code').waitFor()
    assume(await page.locator('code').textContent()).equals(JSON.stringify({ agent: MARKUP }))
    assume(await page.locator('main img, main b:has-text("bold")').count()).equals(0)
    assume(await page.title()).equals(`${client.id} – metroplex`)

    let ended = false
    client.socket.on('end', () => {
      ended = true
    })
    const ask = page.getByRole('button', { name: 'End…' })
    await ask.press('Enter')
    const dialog = page.getByRole('dialog')
    await dialog.waitFor()
    await page.keyboard.press('Escape')
    await dialog.waitFor({ state: 'hidden' })
    assume(a.metroplex.stats().sparks).equals(1)
    await ask.press('Enter')
    await dialog.getByRole('button', { name: 'End' }).press('Enter')
    await dialog.getByText('Ended 1 spark.').waitFor()
    await eventually(() => ended)
    await page.keyboard.press('Escape')
    await page.getByText('No spark, user, group or server has this name.').waitFor()
    assume(wrong).eql([])
  })

  it('sends to a user, and to all when that is confirmed', async () => {
    const a = await start('web-1')
    const client = await openClient(a.url)
    await eventually(() => a.metroplex.stats().users === 1)
    const { page, wrong } = await open(`#/send?kind=user&name=${encodeURIComponent(MARKUP)}`)
    await page.getByLabel('Message', { exact: true }).fill('{"invoice":42')
    const send = page.getByRole('button', { name: 'Send', exact: true })
    await send.click()
    await page.getByText('The message is not JSON').waitFor()
    await page.getByLabel('Message', { exact: true }).fill('{"invoice":42}')
    await send.click()
    await page.getByText('Sent to 1 spark.').waitFor()
    assume(await client.next()).eql({ invoice: 42 })
    await page.getByLabel('To').selectOption('all')
    await page.getByLabel('The message is text').check()
    await send.click()
    await page.getByRole('dialog').getByRole('button', { name: 'Send to all' }).click()
    await page.getByRole('dialog').getByText('Sent to 1 spark.').waitFor()
    assume(await client.next()).equals('{"invoice":42}')
    assume(wrong).eql([])
  })

  it('drains a server when that is confirmed, and shows it', async () => {
    const a = await start('web-1')
    const b = await start('web-2')
    await openClient(b.url, { options: { strategy: false } })
    await eventually(() => b.metroplex.stats().sparks === 1)
    const { page, wrong } = await open()
    await page.getByRole('link', { name: 'web-2' }).click()
    await page.getByRole('button', { name: 'Drain…' }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByLabel('Seconds after which those that are left stay').fill('0')
    await dialog.getByRole('button', { name: 'Drain', exact: true }).click()
    await dialog.getByText('It drains: it has 1 spark.').waitFor()
    await dialog.getByRole('button', { name: 'Close' }).click()
    await page.locator('main .state', { hasText: 'draining' }).waitFor()
    assume([a.metroplex.stats().state, b.metroplex.stats().state]).eql(['ready', 'draining'])
    await page.getByRole('button', { name: 'List sparks' }).click()
    await page.locator('tbody a').first().waitFor()
    assume(wrong).eql([])
  })

  it('has findings with what to do', async () => {
    await start('web-1')
    await createRegistered({ redis: registry(), primus: { metroplex: { lease: 2 * LEASE } } })
    const { page, wrong } = await open('#/doctor')
    await page.getByRole('heading', { name: 'leases' }).waitFor()
    await page.getByText('To do: ').first().waitFor()
    assume(wrong).eql([])
  })

  it('fits on a phone, light and dark, and each control can be focused', async () => {
    const a = await start('web-1')
    await openClient(a.url)
    for (const dark of [false, true]) {
      const { page, wrong, url } = await open('', {}, { viewport: { width: 390, height: 760 }, dark })
      await page.locator('tbody tr').waitFor()
      for (const place of [
        'servers',
        `server/${encodeURIComponent(a.address)}`,
        'find/news',
        'events',
        'send',
        'doctor'
      ]) {
        await page.goto(`${url}#/${place}`)
        await page.locator('main h1').waitFor()
        await page.locator('main :text("Loading")').waitFor({ state: 'detached' })
        const wide = await page.evaluate('document.documentElement.scrollWidth')
        assume([place, wide]).eql([place, 390])
      }
      const background = await page.evaluate('getComputedStyle(document.body).backgroundColor')
      assume(background).equals(dark ? 'rgb(16, 20, 23)' : 'rgb(246, 247, 248)')
      const unreachable = await page.evaluate(
        "[...document.querySelectorAll('a, button, input')].filter(one => one.tabIndex < 0).length"
      )
      assume(unreachable).equals(0)
      assume(wrong).eql([])
    }
  })

  it('asks for its token once in a tab, and is red in production', async () => {
    await start('web-1')
    const { page } = await open('', { token: 'a token of some length', environment: 'production' })
    await page.getByLabel('Token').fill('a wrong token')
    await page.keyboard.press('Enter')
    await page.getByText('This is not the token of this page').waitFor()
    await page.getByLabel('Token').fill('a token of some length')
    await page.keyboard.press('Enter')
    await page.locator('tbody tr').waitFor()
    await page.reload()
    await page.locator('tbody tr').waitFor()
    const red = await page.evaluate("getComputedStyle(document.querySelector('.production')).backgroundColor")
    assume(red).equals('rgb(200, 30, 30)')
  })

  it('asks rarely while it is hidden, and at once when it is seen again', async () => {
    await start('web-1')
    const { page } = await open()
    await page.locator('tbody tr').waitFor()
    let asked = 0
    page.on('request', () => {
      asked++
    })
    const turn = (hidden: boolean): Promise<unknown> =>
      page.evaluate(`
        Object.defineProperty(document, 'hidden', { value: ${hidden}, configurable: true })
        document.dispatchEvent(new Event('visibilitychange'))`)
    await turn(true)
    await page.waitForRequest(/api\/servers/)
    const before = asked
    // A visible page would have asked twice.
    await page.waitForTimeout(5000)
    assume(asked - before <= 1).true()
    const again = page.waitForRequest(/api\/servers/)
    await turn(false)
    await again
  })
})
