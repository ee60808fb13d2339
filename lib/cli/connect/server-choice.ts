import { CommandFailure, EXIT, misuse } from '../output/failure'
import { printable } from '../output/printable'
import { didYouMean } from '../output/suggestion'
import type { OperatorSession } from '../../survey/operator-session'
import { askingClient, unaskable } from '../../survey/answers'
import { viewCluster, type ClusterView, type ServerView } from '../../survey/cluster-view'

/** The server with this address or name. @throws CommandFailure with the most similar one */
export function chooseServer({ servers }: ClusterView, given: string): ServerView {
  const address = given.replace(/\/$/, '')
  const found = servers.filter(server => server.address === address || server.description?.name === given)
  const [first, second] = found
  if (first !== undefined && second === undefined) return first
  if (first !== undefined)
    throw misuse(`${found.length} servers have the name ${printable(given)}: give the address of one.`)
  const known = servers.flatMap(server => [server.address, server.description?.name ?? ''])
  throw misuse(
    `No server is registered as ${printable(given)}: metroplex servers lists them.${didYouMean(given, known)}`
  )
}

/** What a command needs that sends to servers or asks them. */
export type AskingCluster = NonNullable<Awaited<ReturnType<typeof askingClient>>> & { readonly view: ClusterView }

/** Read the registry, and open what asks servers. @throws CommandFailure when none of them can be asked */
export async function reachCluster(session: OperatorSession): Promise<AskingCluster> {
  const view = await viewCluster(session)
  const asking = await askingClient(session, view)
  if (asking !== undefined) return { ...asking, view }
  throw new CommandFailure(
    EXIT.CANNOT_ASK,
    `No server in the namespace ${printable(session.terms.namespace)} can be asked: none of metroplex 2 is alive ` +
      'that uses the transport http or redis. metroplex servers lists them.'
  )
}

/** As `chooseServer`, a server that can be asked. @throws CommandFailure when it cannot */
export function chooseAskable({ view, transport }: AskingCluster, given: string): ServerView {
  const server = chooseServer(view, given)
  const why = unaskable(server, transport)
  if (why === undefined) return server
  throw new CommandFailure(EXIT.CANNOT_ASK, `${printable(server.address)} cannot be asked: ${printable(why)}.`)
}
