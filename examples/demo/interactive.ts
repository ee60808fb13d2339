import type { Said } from '../chat'
import type { ServerProcess } from './server-process'
import type { Run } from './run'

/**
 * Keeps the demo running after the story, until Ctrl-C. Servers report what they see of each other, and clients
 * answer messages.
 *
 * @returns the address of the page
 */
export async function keepRunning(run: Run, port: number): Promise<string> {
  const { group, clients, output } = run
  output.scene('Your turn')
  for (const server of group.active) watch(run, server)
  group.on('enter', (server: ServerProcess) => {
    watch(run, server)
  })
  for (const client of clients) {
    client.on('said', ({ from, alone, text }: Said) => {
      // Two clients that answer each other would never stop.
      if (!alone || clients.some(({ id }) => id === from)) return
      client.say(from, `${client.name} here, on ${client.at || 'no server'}: I got "${text.slice(0, 200)}".`)
    })
  }
  const { url } = await run.open(port)
  return url
}

function watch({ group, output }: Run, server: ServerProcess): void {
  server.on('join', (address: string) => {
    output.tell(server.name, `sees ${group.nameOf(address)} join`)
  })
  server.on('leave', (address: string, why: string) => {
    output.tell(server.name, `sees ${group.nameOf(address)} leave: '${why}'`)
  })
  server.on('reap', (address: string, sparks: string[]) => {
    output.tell(server.name, `cleans up what ${group.nameOf(address)} left behind: ${sparks.length} spark ids`)
  })
  server.on('trouble', (message: string) => {
    output.tell(server.name, `reports: ${message}`)
  })
}
