/** `node dist/examples/users.js`: messages to users of three servers, over HTTP, and who is online, also when a server dies. What it runs is users/server.ts. */
import { show } from './demo/show'
import type { App } from './demo/app'

show('users', async stage => {
  const { narrator } = stage
  const [one, two, three] = await stage.servers('users/server.js')
  const [phone, laptop, stranger] = [await stage.visit(one, '?user=ann'), await stage.visit(two, '?user=ann'), await stage.visit(two)]
  await stage.visit(one, '?user=ben')
  await stage.proof('ann is on servers 1 and 2, ben on server 1', async () => await online(three) === '["ann","ben"]')

  narrator.tell('server 3', `POST /users/ann: ${await post(three, 'ann', { hello: 'ann' })}`)
  await Promise.all([phone.hears({ hello: 'ann' }), laptop.hears({ hello: 'ann' })])
  narrator.proof('it has arrived on both')

  narrator.tell('server 1', `POST /users/cat: ${await post(one, 'cat', 'too early')}`)
  stranger.say({ login: 'cat' })
  await stranger.hears({ welcome: 'cat' })
  narrator.tell('server 1', `she has logged in on server 2; POST /users/cat: ${await post(one, 'cat', { hello: 'cat' })}`)
  await stranger.hears({ hello: 'cat' })

  narrator.tell('server 1', 'is killed')
  await one.kill()
  await stage.proof('ben is offline, ann is still on server 2', async () => await online(three) === '["ann","cat"]')
  return [
    `curl -d '{"hello":"you"}' ${two.url}/users/ann`,
    `curl ${three.url}/online`
  ]
})

async function post({ url }: App, user: string, message: unknown): Promise<string> {
  const answer = await fetch(`${url}/users/${user}`, { method: 'POST', body: JSON.stringify(message) })
  return `${answer.status} ${await answer.text()}`
}

async function online({ url }: App): Promise<string> {
  return (await fetch(`${url}/online`)).text()
}
