/**
 * `node dist/examples/rooms.js`: a chat with rooms over three servers, also when a server dies. What it runs is
 * rooms/server.ts.
 */
import { show } from './demo/show'
import type { App } from './demo/app'

show('rooms', async run => {
  const { output } = run
  const [one, two, three] = await run.servers('rooms/server.js')
  const [ann, ben, cat] = [
    await run.visit(one, '?user=ann'),
    await run.visit(two, '?user=ben'),
    await run.visit(three, '?user=cat')
  ]
  const lobby = '{"sparks":3,"servers":3,"users":["ann","ben","cat"]}'
  await run.proof(
    'all three are in the lobby, each on another server',
    async () => (await look(one, 'lobby')) === lobby
  )

  ann.say({ enter: 'chess' })
  ben.say({ enter: 'chess' })
  await Promise.all([ann.hears({ entered: 'chess' }), ben.hears({ entered: 'chess' })])
  output.tell('server 3', `GET /rooms/chess: ${await look(three, 'chess')}`)

  ann.say({ room: 'chess', typing: true })
  await ben.hears({ room: 'chess', typing: 'ann' })
  output.proof('ben sees that ann types')

  ann.say({ room: 'chess', text: 'e4' })
  await Promise.all([ben.hears({ room: 'chess', text: 'e4' }), ann.hears({ sent: 1 })])
  cat.say({ room: 'lobby', text: 'who plays?' })
  await Promise.all([ann.hears({ room: 'lobby', text: 'who plays?' }), cat.hears({ sent: 2 })])
  output.proof('each message has arrived in its room alone')

  output.tell('server 1', 'is killed')
  await one.kill()
  const rest = '{"sparks":1,"servers":1,"users":["ben"]}'
  await run.proof('ben is alone in the room now', async () => (await look(two, 'chess')) === rest)
  return [`curl ${two.url}/rooms/lobby`, `curl ${three.url}/rooms/chess`]
})

async function look({ url }: App, room: string): Promise<string> {
  return (await fetch(`${url}/rooms/${room}`)).text()
}
