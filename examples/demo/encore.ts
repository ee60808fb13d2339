import type { Said } from '../chat'
import type { Actor } from './actor'
import type { Stage } from './stage'

/** How many servers run once the story is over. */
const SERVERS = 3

/**
 * What goes on after the story, until somebody ends it: three servers run, one that dies is replaced, and clients answer
 * who writes to them.
 *
 * @returns the address of the page
 */
export async function carryOn(stage: Stage, port: number): Promise<string> {
  const { company, clients, narrator } = stage
  narrator.scene('Your turn')
  for (const actor of company.playing) watch(stage, actor)
  while (company.playing.length < SERVERS) await replace(stage)
  for (const client of clients) {
    client.on('said', ({ from, alone, text }: Said) => {
      // Two clients that answer each other would never stop.
      if (!alone || clients.some(({ id }) => id === from)) return
      client.say(from, `${client.name} here, on ${client.at?.name ?? 'no server'}: I got "${text.slice(0, 200)}".`)
    })
  }
  const { url } = await stage.open(port)
  return url
}

async function replace(stage: Stage): Promise<void> {
  const { company, narrator } = stage
  // Most of those that run have the one: the new one gets the other.
  const websockets = company.playing.filter(({ transformer }) => transformer === 'websockets').length
  const actor = company.hire(websockets < 2 ? 'websockets' : 'sockjs')
  await actor.ready()
  watch(stage, actor)
  narrator.tell(actor.name, `registered as ${actor.address}  (${actor.transformer}, pid ${actor.pid}), a replacement`)
}

function watch(stage: Stage, actor: Actor): void {
  const { company, narrator } = stage
  actor.on('join', (address: string) => { narrator.tell(actor.name, `sees ${company.nameOf(address)} join`) })
  actor.on('leave', (address: string, why: string) => { narrator.tell(actor.name, `sees ${company.nameOf(address)} leave: '${why}'`) })
  actor.on('trouble', (message: string) => { narrator.tell(actor.name, `reports: ${message}`) })
  actor.once('gone', () => {
    narrator.tell(actor.name, `has died  (pid ${actor.pid}); another one takes its place`)
    replace(stage).catch((error: unknown) => {
      if (!stage.closed) narrator.alarm((error as Error).message)
    })
  })
}
