/**
 * `node dist/examples/online.js`: who is online on three servers, over reloads of a page and the crash of a server.
 * What it runs is online/server.ts.
 */
import { show } from './demo/show'
import type { App } from './demo/app'

show('online', async run => {
  const { output } = run
  const [one, two, three] = await run.servers('online/server.js')
  const phone = await run.visit(one, '?user=ann')
  await run.visit(two, '?user=ann')
  await run.visit(one, '?user=ben')
  const tab = await run.visit(two, '?user=cat')
  await run.proof('ann, ben and cat are online', async () => (await get(three, 'online')) === '["ann","ben","cat"]')

  tab.close()
  await run.visit(three, '?user=cat')
  output.tell('cat', 'has reloaded the page, and is on another server')
  phone.close()
  output.tell('ann', 'has put the phone away; the laptop is still open')

  output.tell('server 1', 'is killed')
  await one.kill()
  await run.proof('ben is offline', async () => (await get(three, 'online')) === '["ann","cat"]')
  const news = JSON.parse(await get(two, 'news')) as string[]
  output.tell('server 2', `GET /news: ${JSON.stringify([...news].sort())}`)
  return [`curl ${two.url}/online`, `curl ${three.url}/news`]
})

async function get({ url }: App, what: string): Promise<string> {
  return (await fetch(`${url}/${what}`)).text()
}
