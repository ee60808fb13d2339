import { Command } from 'commander'
import { groupOf, idOf, userOf } from '../../../common/names'
import { EXIT } from '../../output/failure'
import { fields } from '../../output/fields'
import { json, printable } from '../../output/printable'
import { count, counted, longSpan, span } from '../../../reporting/quantity-text'
import { table } from '../../output/table'
import { viewCluster } from '../../../survey/cluster-view'
import { findGroup, findSpark, findUser, groupSparks, type GroupSparks } from '../../../survey/find'
import { asks, type CommandReport } from '../command-run'
import { wholeNumber } from '../arguments'

/** How many sparks are listed if no other number is given. */
const LIMIT = 100

/** `metroplex spark`: where a spark is, and what it is. */
export const spark = asks(
  new Command('spark').description('Find a spark: its server, user, groups, age and info.').argument('<id>', 'its id'),
  async ({ session, output, args: [given] }) => {
    const id = idOf(given)
    const view = await viewCluster(session)
    const { address, alive, described: found, failure } = await findSpark(session, view, id)
    if (address === null)
      return notFound({ spark: id, address: null }, `No server holds the spark ${printable(id)}: it has gone.`)
    const name = found?.server ?? view.servers.find(server => server.address === address)?.description?.name
    return {
      value: { spark: id, address, alive, ...found, ...(failure && { error: failure }) },
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
        ...(alive ? [] : ['Its server is not alive: the spark is being removed.']),
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
    const { total, sparks: rows, failure } = await findUser(session, view, name, limit)
    if (total === 0) return notFound({ user: name, total: 0, sparks: [] }, `The user ${printable(name)} has no sparks.`)
    return {
      value: { user: name, total, sparks: rows, ...(failure && { error: failure }) },
      lines: () => [
        ...table(
          [
            { head: 'SPARK', cell: row => printable(row.spark), foot: shownOf(rows.length, total) },
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
    const { total, servers: places } = await findGroup(session, view, name)
    if (places.length === 0)
      return notFound({ group: name, total: 0, servers: [] }, `No spark is in the group ${printable(name)}.`)
    const { sparks, failure } = options.sparks ? await groupSparks(session, view, name, options.limit) : NONE
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

const NONE: GroupSparks = { sparks: [], failure: undefined }

function notFound(value: unknown, sentence: string): CommandReport {
  return { value, lines: () => [sentence], code: EXIT.NOT_SO }
}

function shownOf(shown: number, total: number): string {
  return shown < total ? `${count(shown)} of ${counted(total, 'spark')}` : counted(total, 'spark')
}
