import type { Said } from '../chat'
import type { Actor } from './actor'
import type { Stage } from './stage'

/**
 * What goes on after the story, until somebody ends it: the supervisor keeps the servers running, they tell what they see of each other, and clients answer who
 * writes to them.
 *
 * @returns the address of the page
 */
export async function carryOn(stage: Stage, port: number): Promise<string> {
  const { company, clients, narrator } = stage
  narrator.scene('Your turn')
  for (const actor of company.playing) watch(stage, actor)
  company.on('enter', (actor: Actor) => { watch(stage, actor) })
  for (const client of clients) {
    client.on('said', ({ from, alone, text }: Said) => {
      // Two clients that answer each other would never stop.
      if (!alone || clients.some(({ id }) => id === from)) return
      client.say(from, `${client.name} here, on ${client.at || 'no server'}: I got "${text.slice(0, 200)}".`)
    })
  }
  const { url } = await stage.open(port)
  return url
}

function watch({ company, narrator }: Stage, actor: Actor): void {
  actor.on('join', (address: string) => { narrator.tell(actor.name, `sees ${company.nameOf(address)} join`) })
  actor.on('leave', (address: string, why: string) => { narrator.tell(actor.name, `sees ${company.nameOf(address)} leave: '${why}'`) })
  actor.on('reap', (address: string, sparks: string[]) => {
    narrator.tell(actor.name, `cleans up what ${company.nameOf(address)} left behind: ${sparks.length} spark ids`)
  })
  actor.on('trouble', (message: string) => { narrator.tell(actor.name, `reports: ${message}`) })
}
