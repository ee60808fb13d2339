/** `npm run screenshots`: takes the pictures of docs/dashboard.md, of a real cluster in a real browser. */
import { join } from 'node:path'
import { openTab } from '../support/browser'
import { closeAll, openClient } from '../support/client'
import { servePage } from '../support/dashboard'
import { closeScope, openScope } from '../support/dispose'
import { createRegistered } from '../support/registered'
import { startRedis } from '../support/redis'
import { startServer } from '../support/server'

const images = join(__dirname, '..', '..', '..', 'docs', 'images')
const NAMESPACE = 'chat'
const LEASE = 9000

/** Sparks for each server, and how many more come while the page looks on. */
const SERVERS = [
  { name: 'web-1', sparks: 21, more: 6 },
  { name: 'web-2', sparks: 18, more: 9 },
  { name: 'web-3', sparks: 24, more: 3 }
]
const USERS = ['alice', 'bob', 'carol', 'dave', 'erin']

async function take(): Promise<void> {
  const redis = await startRedis()
  const registry = { url: redis.url, namespace: NAMESPACE }
  let sparks = 0
  const servers = await Promise.all(
    SERVERS.map(({ name }) =>
      createRegistered({
        redis: registry,
        primus: {
          metroplex: {
            name,
            lease: LEASE,
            user: () => USERS[sparks++ % USERS.length],
            groups: () => ['news', 'lobby'],
            info: () => ({ app: 'web', version: '4.2' })
          }
        }
      })
    )
  )
  const frozen = await startServer({ redis: registry, primus: { metroplex: { name: 'web-4', lease: 2 * LEASE } } })
  const connect = (of: 'sparks' | 'more'): Promise<unknown> =>
    Promise.all(servers.flatMap(({ url }, i) => Array.from({ length: SERVERS[i]?.[of] ?? 0 }, () => openClient(url))))
  await connect('sparks')
  const { url } = await servePage(redis.url, { namespace: NAMESPACE, environment: 'production' })
  const desk = await openTab({ viewport: { width: 1100, height: 400 } })
  await desk.page.goto(url)
  await desk.page.locator('tbody tr').nth(3).waitFor()
  // The lines of the last looks need some.
  await desk.page.waitForTimeout(6000)
  await connect('more')
  await desk.page.waitForTimeout(6000)
  frozen.pause()
  await desk.page.locator('.state.h3').waitFor()
  await desk.page.screenshot({ path: join(images, 'dashboard-servers.png') })
  frozen.resume()

  const phone = await openTab({ viewport: { width: 390, height: 520 }, dark: true })
  await phone.page.goto(`${url}#/find/alice`)
  await phone.page.locator('section.card').waitFor()
  await phone.page.screenshot({ path: join(images, 'dashboard-phone.png') })
}

async function main(): Promise<void> {
  openScope()
  try {
    await take()
  } finally {
    await closeAll()
    await closeScope()
  }
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    console.error(error)
    process.exit(1)
  }
)
