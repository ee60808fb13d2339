import { Command } from 'commander'
import { groupOf, idOf, userOf } from '../../../common/names'
import type { Descriptions, GroupSpark, SparkDescription } from '../../../common/types'
import { eachOf } from '../../../registry/sharding'
import { EXIT } from '../../output/failure'
import { fields } from '../../output/fields'
import { json, printable } from '../../output/printable'
import { count, counted, longSpan, span } from '../../../reporting/quantities'
import { table } from '../../output/table'
import type { OperatorSession } from '../../../survey/operator-session'
import { askingClient } from '../../../survey/answers'
import { live, viewCluster, type ClusterView } from '../../../survey/cluster-view'
import { asks, type CommandReport } from '../asked'
import { wholeNumber } from '../arguments'

/** How many sparks are listed if no other number is given. */
const LIMIT = 100

/** `metroplex spark`: where a spark is, and what it is. */
export const spark = asks(
  new Command('spark').description('Find a spark: its server, user, groups, age and info.').argument('<id>', 'its id'),
  async ({ session, output, args: [given] }) => {
    const id = idOf(given)
    const view = await viewCluster(session)
    const [address = null] = await eachOf(session.shards, [id], (registry, ids) => registry.sparks.places(ids))
    if (address === null)
      return notFound({ spark: id, address: null }, `No server holds the spark ${printable(id)}: it has gone.`)
    const lives = live(view).some(server => server.address === address)
    const { described, failure } = await describe(session, view, lives ? [id] : [])
    const found = described.get(id)
    const name = found?.server ?? view.servers.find(server => server.address === address)?.description?.name
    return {
      value: { spark: id, address, alive: lives, ...found, ...(failure && { error: failure }) },
      lines: () => [
        ...fields(
          {
            spark: printable(id),
            server: `${printable(address)}${name === undefined ? '' : ` (${printable(name)})`}`,
            user: found && (found.user === null ? 'none' : printable(found.user)),
            groups: found && (found.groups.map(printable).join(', ') || 'none'),
            connected: found && `${longSpan(found.age)} ago`,
            transport: found && printable(found.transport),
            info: found && json(found.info)
          },
          output.paint
        ),
        ...(lives ? [] : ['Its server is not alive: the spark is being removed.']),
        ...(failure === undefined ? [] : [printable(failure)])
      ]
    }
  }
)

/** `metroplex user`: the sparks of a user. */
export const user = asks<{ limit: number }>(
  new Command('user')
    .description('Find a user: all sparks, and what they are.')
    .argument('<name>', 'the name of the user')
    .option('-l, --limit <number>', 'list at most so many sparks', wholeNumber, LIMIT),
  async ({ session, output, options: { limit }, args: [given] }) => {
    const name = userOf(given)
    const view = await viewCluster(session)
    const alive = new Set(live(view).map(({ address }) => address))
    const [all = []] = await eachOf(session.shards, [name], (registry, names) => registry.users.sparks(names))
    const places = all.filter(([, address]) => alive.has(address))
    if (places.length === 0)
      return notFound({ user: name, total: 0, sparks: [] }, `The user ${printable(name)} has no sparks.`)
    const listed = places.slice(0, limit)
    const { described, failure } = await describe(
      session,
      view,
      listed.map(([id]) => id)
    )
    const rows = listed.map(([id, address]) => ({ spark: id, address, ...described.get(id) }))
    return {
      value: { user: name, total: places.length, sparks: rows, ...(failure && { error: failure }) },
      lines: () => [
        ...table(
          [
            { head: 'SPARK', cell: row => printable(row.spark), foot: shownOf(rows.length, places.length) },
            { head: 'ADDRESS', cell: row => printable(row.address) },
            { head: 'CONNECTED', cell: row => (row.age === undefined ? '-' : span(row.age)), align: 'right' },
            { head: 'TRANSPORT', cell: row => printable(row.transport ?? '-') },
            { head: 'GROUPS', cell: row => (row.groups === undefined ? '-' : count(row.groups.length)), align: 'right' }
          ],
          rows,
          output.width,
          output.paint
        ),
        ...(failure === undefined ? [] : [printable(failure)])
      ]
    }
  }
)

/** `metroplex group`: the servers and sparks of a group. */
export const group = asks<{ sparks?: true; limit: number }>(
  new Command('group')
    .description('Find a group: how many sparks are in it, on which servers.')
    .argument('<name>', 'the name of the group')
    .option('-s, --sparks', 'list its sparks, too; their servers are asked')
    .option('-l, --limit <number>', 'list at most so many sparks', wholeNumber, LIMIT),
  async ({ session, output, options, args: [given] }) => {
    const name = groupOf(given)
    const view = await viewCluster(session)
    const alive = new Set(live(view).map(({ address }) => address))
    const [all = []] = await eachOf(session.shards, [name], (registry, names) => registry.groups.servers(names))
    const places = all.filter(([address]) => alive.has(address)).map(([address, sparks]) => ({ address, sparks }))
    const total = places.reduce((sum, { sparks }) => sum + sparks, 0)
    if (places.length === 0)
      return notFound({ group: name, total: 0, servers: [] }, `No spark is in the group ${printable(name)}.`)
    const { sparks, failure } = options.sparks ? await members(session, view, name, options.limit) : NONE
    return {
      value: {
        group: name,
        total,
        servers: places,
        ...(options.sparks && { sparks }),
        ...(failure && { error: failure })
      },
      lines: () => [
        ...table(
          [
            { head: 'ADDRESS', cell: row => printable(row.address), foot: counted(places.length, 'server') },
            { head: 'SPARKS', cell: row => count(row.sparks), align: 'right', foot: count(total) }
          ],
          places,
          output.width,
          output.paint
        ),
        ...(sparks.length === 0
          ? []
          : [
              '',
              ...table(
                [
                  { head: 'SPARK', cell: row => printable(row.spark), foot: shownOf(sparks.length, total) },
                  { head: 'USER', cell: row => printable(row.user ?? '-'), least: 8 },
                  { head: 'ADDRESS', cell: row => printable(row.address) }
                ],
                sparks,
                output.width,
                output.paint
              )
            ]),
        ...(failure === undefined ? [] : [printable(failure)])
      ]
    }
  }
)

const NONE = { sparks: [] as GroupSpark[], failure: undefined as string | undefined }

function notFound(value: unknown, sentence: string): CommandReport {
  return { value, lines: () => [sentence], code: EXIT.NOT_SO }
}

function shownOf(shown: number, total: number): string {
  return shown < total ? `${count(shown)} of ${counted(total, 'spark')}` : counted(total, 'spark')
}

/** What the servers of sparks say of them, as far as they answer. */
async function describe(
  session: OperatorSession,
  view: ClusterView,
  ids: readonly string[]
): Promise<{ readonly described: ReadonlyMap<string, SparkDescription>; readonly failure: string | undefined }> {
  const none = new Map<string, SparkDescription>()
  if (ids.length === 0) return { described: none, failure: undefined }
  const asking = await askingClient(session, view)
  if (asking === undefined) return { described: none, failure: 'None of the live servers can be asked about sparks.' }
  const { sparks, failed }: Descriptions = await asking.client.describe(ids, { timeout: session.terms.timeout })
  return { described: new Map(sparks.map(one => [one.spark, one])), failure: failed?.[0]?.message }
}

/** The sparks in a group, by their servers. */
async function members(session: OperatorSession, view: ClusterView, name: string, limit: number): Promise<typeof NONE> {
  const asking = await askingClient(session, view)
  if (asking === undefined) return { sparks: [], failure: 'None of the live servers can be asked about sparks.' }
  const sparks: GroupSpark[] = []
  try {
    for await (const one of asking.client.sparksIn(name, { timeout: session.terms.timeout })) {
      sparks.push(one)
      if (sparks.length === limit) break
    }
    return { sparks, failure: undefined }
  } catch (error) {
    const [first] = error instanceof AggregateError ? (error.errors as Error[]) : [error as Error]
    return { sparks, failure: first?.message }
  }
}
