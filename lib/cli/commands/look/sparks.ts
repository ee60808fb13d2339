import { Command, InvalidArgumentError, Option } from 'commander'
import type { OperatorSession } from '../../../survey/operator-session'
import { misuse } from '../../output/failure'
import { json, printable } from '../../output/printable'
import { counted } from '../../../reporting/quantities'
import { table } from '../../output/table'
import { chooseServer } from '../../connect/choose'
import { viewCluster } from '../../../survey/cluster-view'
import { asks, type CommandReport } from '../asked'
import { wholeNumber } from '../arguments'

interface Options {
  readonly server?: string
  readonly limit: number
  readonly from?: Place
  readonly all?: true
  readonly capture?: string
}

/** Where a list goes on: in which registry, at which page, and behind how many of its entries. */
interface Place {
  readonly shard: number
  readonly cursor: string
  readonly skip: number
}

interface Entry {
  readonly spark: string
  readonly address: string
}

const LIMIT = 100

/** `metroplex sparks`: the ids of sparks, page by page. */
export const sparks = asks<Options>(
  new Command('sparks')
    .description('List sparks and their servers, page by page.')
    .option('-s, --server <server>', 'only those of this server, by address or name')
    .option('-l, --limit <number>', 'how many', wholeNumber, LIMIT)
    .option('-f, --from <place>', 'go on at the place that the last list has named', placeOf)
    .option('-a, --all', 'all of them, one in a line, as they are read: an id, a tab and an address')
    .addOption(new Option('--capture <file>', 'is refused').hideHelp())
    .addHelpText(
      'after',
      `
The list is in no order. A spark that connects or disconnects meanwhile may or may not be in it, and one may be in it
twice.

Examples:
  $ metroplex sparks --server http://10.0.0.5:8080
  $ metroplex sparks --all | wc -l`
    ),
  async ({ session, output, options }) => {
    const { server, limit, from = { shard: 0, cursor: '0', skip: 0 }, all } = options
    const address = server === undefined ? undefined : chooseServer(await viewCluster(session), server).address
    const rows: Entry[] = []
    let next: Place | undefined
    for await (const { place, entries } of pages(session, address, from)) {
      if (all) {
        await output.write(entries.map(entry => lineOf(entry, output.json)))
        continue
      }
      const room = limit - rows.length
      if (entries.length > room) {
        rows.push(...entries.slice(0, room))
        next = { ...place, skip: place.skip + room }
        break
      }
      rows.push(...entries)
    }
    return all ? undefined : reportOf(rows, next, output)
  },
  ({ all, from, capture }) => {
    if (capture !== undefined)
      throw misuse(
        'A capture has no list of sparks, only their numbers: metroplex servers --capture shows them. ' +
          'Leave out --capture.'
      )
    if (all && from !== undefined) throw misuse('--all lists everything: leave out --from.')
  }
)

function reportOf(
  rows: readonly Entry[],
  next: Place | undefined,
  { width, paint }: { readonly width: number; readonly paint: Parameters<typeof table>[3] }
): CommandReport {
  const token = next === undefined ? null : `${next.shard}.${next.cursor}.${next.skip}`
  return {
    value: { sparks: rows, next: token },
    lines: () => [
      ...table(
        [
          { head: 'SPARK', cell: row => printable(row.spark), foot: counted(rows.length, 'spark') },
          { head: 'ADDRESS', cell: row => printable(row.address) }
        ],
        rows,
        width,
        paint
      ),
      ...(token === null ? [] : [`There are more: go on with --from ${token}`])
    ]
  }
}

function lineOf(entry: Entry, asJson: boolean): string {
  return asJson ? json(entry) : `${printable(entry.spark)}\t${printable(entry.address)}`
}

/** The pages of all registries, from a place on. */
async function* pages(
  session: OperatorSession,
  address: string | undefined,
  from: Place
): AsyncGenerator<{ readonly place: Place; readonly entries: readonly Entry[] }, void, undefined> {
  let { cursor, skip } = from
  for (let shard = from.shard; shard < session.shards.length; shard++) {
    const registry = session.shards[shard]
    if (registry === undefined) return
    do {
      const page =
        address === undefined
          ? await registry.inspection.sparks(cursor)
          : await registry.sparks.page(address, cursor).then(({ cursor: next, items }) => ({
              cursor: next,
              items: items.map(id => [id, address] as const)
            }))
      const entries = page.items.map(([spark, owner]) => ({ spark, address: owner }))
      yield { place: { shard, cursor, skip }, entries: entries.slice(skip) }
      cursor = page.cursor
      skip = 0
    } while (cursor !== '0')
  }
}

function placeOf(given: string): Place {
  const [, shard, cursor = '', skip] = /^(\d{1,3})\.(\d{1,20})\.(\d{1,9})$/.exec(given) ?? []
  if (shard !== undefined) return { shard: Number(shard), cursor, skip: Number(skip) }
  throw new InvalidArgumentError('It must be a place that another list has named.')
}
