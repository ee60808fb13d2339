import { Command } from 'commander'
import type { Client } from '../../../api/cluster-client'
import { EXIT } from '../../output/failure'
import { printable } from '../../output/printable'
import { counted, span } from '../../../reporting/quantity-text'
import { table, type Column } from '../../output/table'
import { askServers, usualTransport, unaskable } from '../../../survey/answers'
import { live, viewCluster, type ServerView } from '../../../survey/cluster-view'
import { chooseServer } from '../../connect/server-choice'
import { asks } from '../command-run'
import { wholeNumber } from '../arguments'

interface Row {
  /** `null` for Redis. */
  readonly address: string | null
  readonly name: string | null
  /** The first round trip, with what it takes to connect; in ms, as the others. */
  readonly connect: number | null
  readonly least: number | null
  readonly median: number | null
  readonly most: number | null
  readonly error?: string
}

/** `metroplex ping`: round trips from here to each server. */
export const ping = asks<{ count: number }>(
  new Command('ping')
    .description('Measure round trips from here to Redis and to each server.')
    .argument('[servers...]', 'addresses or names of servers; all if none is given')
    .option('-c, --count <number>', 'how many round trips', wholeNumber, 5)
    .addHelpText(
      'after',
      `
A round trip is a signed message that changes nothing. The first one connects, and is not among the others. The exit
code is 1 when a server does not answer. Servers of metroplex 1.x cannot be asked.`
    ),
  async ({ session, output, args, options }) => {
    const { timeout } = session.terms
    const view = await viewCluster(session)
    const servers = args.length > 0 ? args.map(given => chooseServer(view, given)) : live(view)
    const redis = await times(options.count + 1, async () => (await viewCluster(session)).took)
    const transport = usualTransport(view)
    const client = transport && (await session.client(transport))
    const asking = client === undefined || transport === undefined ? undefined : { client, transport }
    const answers = await askServers(asking, servers, (one, { address }) =>
      times(options.count + 1, () => roundTrip(one, address, timeout))
    )
    const rows: Row[] = [
      rowOf(null, 'Redis', redis),
      ...servers.map(server => {
        const answer = answers.find(one => one.server === server)
        const why = answer === undefined ? cannot(server, transport) : answer.failure?.message
        return rowOf(server.address, server.description?.name ?? null, answer?.value, why)
      })
    ]
    const failed = answers.filter(({ failure }) => failure !== undefined).length
    const [, ...measured] = rows
    return {
      value: { redis: rows[0], servers: measured },
      lines: () => [
        ...table(COLUMNS, rows, output.width, output.paint),
        ...rows.flatMap(({ error }) => (error === undefined ? [] : [printable(error)])),
        ...(failed > 0 ? [output.paint('red', `${counted(failed, 'server')} did not answer.`)] : [])
      ],
      ...(failed > 0 && { code: EXIT.NOT_SO })
    }
  }
)

const time = (ms: number | null): string => (ms === null ? '-' : span(ms))

const COLUMNS: readonly Column<Row>[] = [
  { head: 'NAME', cell: ({ name }) => printable(name ?? '-'), least: 8 },
  { head: 'ADDRESS', cell: ({ address }) => printable(address ?? '') },
  { head: 'CONNECT', cell: ({ connect }) => time(connect), align: 'right' },
  { head: 'LEAST', cell: ({ least }) => time(least), align: 'right' },
  { head: 'MEDIAN', cell: ({ median }) => time(median), align: 'right' },
  { head: 'MOST', cell: ({ most }) => time(most), align: 'right' }
]

function roundTrip({ core }: Client, address: string, timeout: number): Promise<number> {
  return core.operator.ping(address, timeout)
}

async function times(number: number, measure: () => Promise<number>): Promise<number[]> {
  const all: number[] = []
  for (let i = 0; i < number; i++) all.push(await measure())
  return all
}

function cannot(server: ServerView, transport: string | undefined): string {
  const why = transport === undefined ? 'no server can be asked' : unaskable(server, transport)
  return `${server.address} was not asked: ${why ?? 'it has left'}.`
}

function rowOf(address: string | null, name: string | null, all: readonly number[] = [], error?: string): Row {
  const [connect = null, ...others] = all.map(ms => Math.round(ms * 100) / 100)
  const sorted = others.sort((a, b) => a - b)
  return {
    address,
    name,
    connect,
    least: sorted[0] ?? null,
    median: sorted[Math.floor(sorted.length / 2)] ?? null,
    most: sorted.at(-1) ?? null,
    ...(error !== undefined && { error })
  }
}
