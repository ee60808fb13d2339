/**
 * `node dist/examples/users.js`: messages to users of three servers, over HTTP, and who is online, also when a server
 * dies. What it runs is users/server.ts.
 */
import { show } from './demo/show'
import type { App } from './demo/app'

show('users', async run => {
  const { output } = run
  const [one, two, three] = await run.servers('users/server.js')
  const [phone, laptop, stranger] = [
    await run.visit(one, '?user=ann'),
    await run.visit(two, '?user=ann'),
    await run.visit(two)
  ]
  await run.visit(one, '?user=ben')
  await run.proof('ann is on servers 1 and 2, ben on server 1', async () => (await online(three)) === '["ann","ben"]')

  output.tell('server 3', `POST /users/ann: ${await post(three, 'ann', { hello: 'ann' })}`)
  await Promise.all([phone.hears({ hello: 'ann' }), laptop.hears({ hello: 'ann' })])
  output.proof('it has arrived on both')

  output.tell('server 1', `POST /users/cat: ${await post(one, 'cat', 'too early')}`)
  stranger.say({ login: 'cat' })
  await stranger.hears({ welcome: 'cat' })
  output.tell('server 1', `she has logged in on server 2; POST /users/cat: ${await post(one, 'cat', { hello: 'cat' })}`)
  await stranger.hears({ hello: 'cat' })

  output.tell('server 1', 'is killed')
  await one.kill()
  await run.proof('ben is offline, ann is still on server 2', async () => (await online(three)) === '["ann","cat"]')
  return [`curl -d '{"hello":"you"}' ${two.url}/users/ann`, `curl ${three.url}/online`]
})

async function post({ url }: App, user: string, message: unknown): Promise<string> {
  const answer = await fetch(`${url}/users/${user}`, { method: 'POST', body: JSON.stringify(message) })
  return `${answer.status} ${await answer.text()}`
}

async function online({ url }: App): Promise<string> {
  return (await fetch(`${url}/online`)).text()
}
