/** `node dist/examples/admin.js`: a page that shows three servers and who is on them, ends connections and drains servers. What it runs is admin/server.ts. */
import type { Called } from 'metroplex'
import type { App } from './demo/app'
import { show } from './demo/show'

/** What `GET /servers` says of each. */
type Shown = Called & { readonly value?: { readonly name: string, readonly state: string, readonly sparks: readonly string[] } }

show('admin', async stage => {
  const { narrator } = stage
  const [one, two, three] = await stage.servers('admin/server.js')
  const news: string[] = []
  follow(one, line => { news.push(line) })
  const [ann] = [await stage.visit(two), await stage.visit(two), await stage.visit(three)]

  const counts = async (): Promise<string> => (await servers(one)).map(({ value }) => `${value?.name ?? ''} ${value?.state ?? ''} ${value?.sparks.length ?? ''}`).sort().join(', ')
  await stage.proof('server 1 shows all three, with the clients of each', async () => await counts() === 'server 1 ready 0, server 2 ready 2, server 3 ready 1')

  narrator.tell('server 1', `POST /end?spark=${ann.id}: ${await post(one, `end?spark=${ann.id}`)}`)
  await stage.proof('that client has been cut off from server 2', async () => ann.ended && (await counts()).includes('server 2 ready 1'))

  const told = (line: string): Promise<void> => stage.proof(`the news say: ${line}`, () => news.some(one => one.includes(line)))
  await post(one, `drain?server=${encodeURIComponent(two.url)}`)
  await told(`drain ${two.url}`)
  await told(`leave ${two.url} shutdown`)
  await three.kill()
  narrator.tell('server 3', 'is killed')
  await told(`leave ${three.url} expired`)
  await stage.proof('server 1 shows itself alone', async () => await counts() === 'server 1 ready 0')

  const four = stage.start('server 4', 'admin/server.js')
  await told(`join ${await four.listening()}`)
  await stage.visit(four)
  return [`open ${one.url}`]
})

async function servers({ url }: App): Promise<Shown[]> {
  return await (await fetch(`${url}/servers`)).json() as Shown[]
}

async function post({ url }: App, what: string): Promise<string> {
  return (await fetch(`${url}/${what}`, { method: 'POST' })).text()
}

/** What a page reads from an EventSource. */
function follow({ url }: App, tell: (line: string) => void): void {
  fetch(`${url}/news`).then(async ({ body }) => {
    for await (const chunk of body ?? []) tell(Buffer.from(chunk as Uint8Array).toString().replace(/["[\],]+/g, ' ').replace(/ +/g, ' '))
  }).catch(() => undefined)
}
