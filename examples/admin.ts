/**
 * `node dist/examples/admin.js`: a page that shows three servers and who is on them, ends connections and drains
 * servers. What it runs is admin/server.ts.
 */
import type { Called } from 'metroplex'
import type { App } from './demo/app'
import { show } from './demo/show'

/** An entry of `GET /servers`. */
type Shown = Called & {
  readonly value?: { readonly name: string; readonly state: string; readonly sparks: readonly string[] }
}

show('admin', async run => {
  const { output } = run
  const [one, two, three] = await run.servers('admin/server.js')
  const news: string[] = []
  follow(one, line => {
    news.push(line)
  })
  const [ann] = [await run.visit(two), await run.visit(two), await run.visit(three)]

  const counts = async (): Promise<string> =>
    (await servers(one))
      .map(({ value }) => `${value?.name ?? ''} ${value?.state ?? ''} ${value?.sparks.length ?? ''}`)
      .sort()
      .join(', ')
  await run.proof(
    'server 1 shows all three, with the clients of each',
    async () => (await counts()) === 'server 1 ready 0, server 2 ready 2, server 3 ready 1'
  )

  output.tell('server 1', `POST /end?spark=${ann.id}: ${await post(one, `end?spark=${ann.id}`)}`)
  await run.proof(
    'that client has been cut off from server 2',
    async () => ann.ended && (await counts()).includes('server 2 ready 1')
  )

  const told = (line: string): Promise<void> =>
    run.proof(`the news say: ${line}`, () => news.some(one => one.includes(line)))
  await post(one, `drain?server=${encodeURIComponent(two.url)}`)
  await told(`drain ${two.url}`)
  await told(`leave ${two.url} shutdown`)
  await three.kill()
  output.tell('server 3', 'is killed')
  await told(`leave ${three.url} expired`)
  await run.proof('server 1 shows itself alone', async () => (await counts()) === 'server 1 ready 0')

  const four = run.start('server 4', 'admin/server.js')
  await told(`join ${await four.listening()}`)
  await run.visit(four)
  return [`open ${one.url}`]
})

async function servers({ url }: App): Promise<Shown[]> {
  return (await (await fetch(`${url}/servers`)).json()) as Shown[]
}

async function post({ url }: App, what: string): Promise<string> {
  return (await fetch(`${url}/${what}`, { method: 'POST' })).text()
}

/** Reads the events as a page does with an EventSource. */
function follow({ url }: App, tell: (line: string) => void): void {
  fetch(`${url}/news`)
    .then(async ({ body }) => {
      for await (const chunk of body ?? [])
        tell(
          Buffer.from(chunk as Uint8Array)
            .toString()
            .replace(/["[\],]+/g, ' ')
            .replace(/ +/g, ' ')
        )
    })
    .catch(() => undefined)
}
