import { Command, InvalidArgumentError, Option } from 'commander'
import { misuse } from '../../output/failure'
import { json, printable } from '../../output/printable'
import { counted } from '../../../reporting/quantity-text'
import { table } from '../../output/table'
import { chooseServer } from '../../connect/server-choice'
import { viewCluster } from '../../../survey/cluster-view'
import {
  FIRST_PLACE,
  listSparks,
  readPlace,
  sparkPages,
  type ListedSpark,
  type SparkPlace
} from '../../../survey/spark-pages'
import { asks, type CommandReport } from '../command-run'
import { wholeNumber } from '../arguments'

interface Options {
  readonly server?: string
  readonly limit: number
  readonly from?: SparkPlace
  readonly all?: true
  readonly capture?: string
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
    const { server, limit, from = FIRST_PLACE, all } = options
    const address = server === undefined ? undefined : chooseServer(await viewCluster(session), server).address
    if (!all) return reportOf(await listSparks(session, address, from, limit), output)
    for await (const { entries } of sparkPages(session, address, from))
      await output.write(entries.map(entry => lineOf(entry, output.json)))
    return undefined
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
  { sparks: rows, next }: Awaited<ReturnType<typeof listSparks>>,
  { width, paint }: { readonly width: number; readonly paint: Parameters<typeof table>[3] }
): CommandReport {
  return {
    value: { sparks: rows, next },
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
      ...(next === null ? [] : [`There are more: go on with --from ${next}`])
    ]
  }
}

function lineOf(entry: ListedSpark, asJson: boolean): string {
  return asJson ? json(entry) : `${printable(entry.spark)}\t${printable(entry.address)}`
}

function placeOf(given: string): SparkPlace {
  const place = readPlace(given)
  if (place !== undefined) return place
  throw new InvalidArgumentError('It must be a place that another list has named.')
}
