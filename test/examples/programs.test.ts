import { assume } from '../support/assume'
import { nothingIsLeft, run } from './run'

/** The examples that `examples/demo/show.ts` runs, and what each of them says that has come true. */
const EXAMPLES = {
  rooms: [
    /all three are in the lobby, each on another server/,
    /GET \/rooms\/chess: {"sparks":2,"servers":2,"users":\["ann","ben"\]}\n/,
    /ben sees that ann types/,
    /each message has arrived in its room alone/,
    /ben is alone in the room now/
  ],
  users: [
    /checked {3}ann is on servers 1 and 2, ben on server 1\n/,
    /POST \/users\/ann: 200 {"send":2}\n/,
    /POST \/users\/cat: 404 {"send":0,"error":"Is not connected\."}\n/,
    /she has logged in on server 2; POST \/users\/cat: 200 {"send":1}\n/,
    /checked {3}ben is offline, ann is still on server 2\n/
  ],
  online: [
    /checked {3}ann, ben and cat are online\n/,
    /checked {3}ben is offline\n/,
    /GET \/news: \["ann is online",.*"ben is offline","ben is online",.*"cat is online".*\]\n/
  ],
  worker: [
    /worker {4}http:\/\/127\.0\.0\.1:\d+ has \d clients\n/,
    /worker {4}ann\.jpg is done; ann was told on 2 connections\n/,
    /worker {4}cat\.jpg is done; cat is away\n/,
    /worker {4}3 jobs finished; 3 servers know\n/,
    /checked {3}all clients on all servers have received that 3 jobs are finished\n/,
    /checked {3}the worker has ended by itself, with 0\n/
  ],
  admin: [
    /checked {3}server 1 shows all three, with the clients of each\n/,
    /POST \/end\?spark=.*: {"ok":true,"send":1}\n/,
    /checked {3}the news say: drain http/,
    /checked {3}the news say: leave http\S+ shutdown\n/,
    /checked {3}the news say: leave http\S+ expired\n/,
    /checked {3}the news say: join http/
  ]
}

for (const [name, lines] of Object.entries(EXAMPLES)) {
  // Each way of ending is tried, and no story is told twice for it.
  const once = name === 'worker'

  describe(`the example ${name}`, function () {
    this.timeout(120_000)

    it(`tells a story that comes true, leaves nothing, and ends ${once ? 'by itself' : 'at SIGINT'}`, async () => {
      const example = await run(`${name}.js`, ...(once ? ['--once'] : []))
      if (!once) {
        await example.said(/try {7}Ctrl-C to end it all/)
        example.signal('SIGINT')
      }
      const code = await example.ended
      const text = example.text()
      assume(code).equals(0, text)
      for (const line of lines) assume(text).matches(line)
      assume(text).does.not.match(/Error/)
      await nothingIsLeft(example)
    })
  })
}

describe('an example', function () {
  this.timeout(120_000)

  it('has its servers end with it when it is killed, and its Redis with them', async () => {
    const example = await run('users.js')
    await example.said(/server 3 {2}listens on/)
    example.signal('SIGKILL')
    await example.ended
    await nothingIsLeft(example)
  })

  it('refuses what it does not know', async () => {
    const example = await run('admin.js', '--twice')
    assume(await example.ended).equals(2)
    assume(example.text()).includes('Usage: node dist/examples/admin.js [--once]')
  })
})
