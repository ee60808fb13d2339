/** The tables and plots of docs/scaling.md: each answers one question, by what was measured. */
import { plot } from '../harness/plot'
import { shown } from '../harness/figures'
import type { Part } from './check'
import { OPERATIONS, priceOf, type Costs, type Operation, type Setting } from './costs'
import { connectionsOf, deployment, memoryOf, periodOf, type Deployment, type Fleet } from './fleet'
import { simulate } from './model'
import { BEFORE, deploy, largest, loss, ordinary, outcome, steady, storm } from './scenarios'

/** How much of a core the ordinary may take: the rest is for storms, deploys, and the loss of a neighbour. */
const HALF = 0.5
const SIZES = [1e5, 1e6, 1e7, 1e8]
/** Seconds after which a question has failed: the option `timeout`. */
const TIMEOUT = 5

const short = (count: number): string => {
  const [size = 1, unit = ''] =
    (
      [
        [1e9, 'G'],
        [1e6, 'M'],
        [1e3, 'k']
      ] as const
    ).find(([size]) => count >= 0.9995 * size) ?? []
  return `${shown(count / size)}${unit === '' ? '' : ` ${unit}`}`
}
const whole = (count: number): string => String(Math.round(count)).replace(/\B(?=(\d{3})+$)/g, ' ')
const percent = (share: number): string => `${whole(share * 100)} %`
const time = (seconds: number): string =>
  !Number.isFinite(seconds)
    ? 'never'
    : seconds >= 120
      ? `${shown(seconds / 60)} min`
      : seconds >= 1
        ? `${shown(seconds)} s`
        : `${shown(seconds * 1000)} ms`
const called = ({ masters, shards }: Pick<Deployment, 'masters' | 'shards'>): string =>
  masters === 1 ? 'one Redis' : `${masters} masters, ${shards} shards`

/** A table in Markdown. */
function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return [head, head.map(() => '---'), ...rows].map(cells => `| ${cells.join(' | ')} |`).join('\n')
}

/** How much of a core the ordinary asks of the busiest master. */
function ordinarily(fleet: Fleet, where: Deployment): number {
  return outcome(steady(fleet), where).mean
}

/**
 * The fewest masters, with a shard or two or four on each, on which the ordinary takes no more than half a core of any.
 */
export function advised(costs: Pick<Costs, 'prices'>, fleet: Fleet): Deployment | undefined {
  const one = deployment(costs, 1, 1)
  if (ordinarily(fleet, one) <= HALF) return one
  // A Cluster has three masters at least; a shard on each costs least, and there are 256 at the most.
  for (let masters = 3; masters <= 256; masters++) {
    const where = deployment(costs, masters, masters)
    if (ordinarily(fleet, where) <= HALF) return where
  }
  return undefined
}

const blocks: Readonly<Record<string, (costs: Costs) => string>> = {
  about: ({ about }) =>
    Object.entries(about)
      .map(([name, value]) => `* ${name}: ${value}`)
      .join('\n'),

  costs: costs => {
    const settings: readonly Setting[] = ['one', 'cluster4', 'cluster16']
    const rows = (Object.keys(OPERATIONS) as Operation[]).flatMap(operation =>
      costs.prices.one.operations[operation].map(({ n, trips, received, sent }) => [
        operation,
        `${shown(n)} ${OPERATIONS[operation]}`,
        ...settings.map(setting => shown(priceOf(costs.prices[setting], operation, n).cpu)),
        shown(trips),
        short(received),
        short(sent)
      ])
    )
    const of = (name: string, unit: string, figure: (setting: Setting) => number): string[] => [
      name,
      unit,
      ...settings.map(setting => shown(figure(setting))),
      '',
      '',
      ''
    ]
    return (
      table(
        [
          'operation',
          'on',
          'one Redis, µs',
          'Cluster, 4 shards, µs',
          '16 shards, µs',
          'round trips',
          'bytes to Redis',
          'bytes from it'
        ],
        [...rows, of('waking Redis', 'a round trip while it sleeps', setting => costs.prices[setting].wake)]
      ) +
      '\n\n' +
      table(
        ['memory of', 'one Redis, bytes', 'Cluster, 4 shards', '16 shards'],
        (['spark', 'server', 'connection'] as const).map(name => [
          name,
          ...settings.map(setting => whole(costs.prices[setting].memory[name]))
        ])
      )
    )
  },

  fits: costs => {
    const one = deployment(costs, 1, 1)
    const most = (fleet: (size: number) => Fleet, besides: (size: number) => number = () => 0): string =>
      short(largest(size => ordinarily(fleet(size), one) + besides(size) <= HALF))
    const base: Fleet = { servers: 10, sparks: 0, lifetime: Infinity, lookups: 0, lease: 15 }
    return table(
      ['what alone takes half a core of one Redis', 'at the most'],
      [
        ...[
          ['5 minutes', 5],
          ['half an hour', 30],
          ['8 hours', 480]
        ].map(([name, minutes]) => [
          `sparks that stay ${name}, 10 000 to a server, each asked for every ten minutes`,
          most(sparks => ordinary(sparks, Number(minutes) * 60))
        ]),
        [
          'sparks that stay for ever and are never looked up, 10 000 to a server',
          most(sparks => ({ ...ordinary(sparks), lifetime: Infinity, lookups: 0 }))
        ],
        ['the same, at 100 servers', most(sparks => ({ ...base, servers: 100, sparks }))],
        [
          'servers, while one joins or leaves within each beat',
          most(
            servers => ({ ...base, servers }),
            servers => ((servers / periodOf(base)) * priceOf(one.prices, 'changes', 1).cpu) / 1e6
          )
        ],
        ['servers without sparks, none of which comes or goes', most(servers => ({ ...base, servers }))],
        [
          'connects a second, and as many disconnects, each in a commit of its own',
          most(churn => ({ ...base, servers: 1e9, lease: 1e12, sparks: churn, lifetime: 1 }))
        ],
        [
          'the same, 100 to a commit',
          short(
            (HALF * 1e6) /
              ((priceOf(one.prices, 'connect', 100).cpu + priceOf(one.prices, 'disconnect', 100).cpu) / 100)
          )
        ],
        ['lookups a second, one by one', most(lookups => ({ ...base, lookups }))],
        ['lookups a second, 32 together', most(lookups => ({ ...base, lookups, together: 32 }))]
      ]
    )
  },

  steady: costs =>
    table(
      [
        'sparks',
        'servers',
        'on',
        'cores asked of the busiest master',
        'commands/s',
        'network, MB/s',
        'memory of the busiest, GB',
        'its connections'
      ],
      SIZES.flatMap(sparks =>
        [
          [1, 1],
          [3, 3],
          [3, 12],
          [16, 16],
          [64, 64],
          [64, 256]
        ].flatMap(([masters = 1, shards = 1]) => {
          const fleet = ordinary(sparks)
          const where = deployment(costs, masters, shards)
          const { mean, commands, bytes, memory } = outcome(steady(fleet), where)
          if (masters > 3 && sparks < 1e7) return []
          return [
            [
              short(sparks),
              whole(fleet.servers),
              called(where),
              mean > 1 ? `**${shown(mean)}**` : shown(mean),
              short(commands),
              shown(bytes / 1e6),
              shown(memory / 1e9),
              whole(connectionsOf(where, fleet.servers))
            ]
          ]
        })
      )
    ),

  parts: costs =>
    table(
      ['sparks', 'servers', 'what', 'µs of Redis a second', 'share'],
      [1e6, 1e7, 1e8].flatMap(sparks => {
        const fleet = ordinary(sparks)
        const where = deployment(costs, 1, 1)
        const total = ordinarily(fleet, where)
        const without = (part: string, changed: Fleet, scale = 1): string[] => {
          const share = (total - ordinarily(changed, where)) * scale
          return [short(sparks), whole(fleet.servers), part, whole(share * 1e6), percent(share / total)]
        }
        const audits = entriesAudited(fleet, where)
        return [
          without('sparks that come and go', { ...fleet, lifetime: Infinity }),
          without('lookups', { ...fleet, lookups: 0 }),
          [short(sparks), whole(fleet.servers), 'audits', whole(audits * 1e6), percent(audits / total)],
          (rest => [short(sparks), whole(fleet.servers), 'beats and sweeps', whole(rest * 1e6), percent(rest / total)])(
            ordinarily({ ...fleet, lifetime: Infinity, lookups: 0 }, where) - audits
          )
        ]
      })
    ),

  shards: costs =>
    table(
      [
        'sparks',
        'servers',
        'sparks stay',
        'advised',
        'cores of the busiest master',
        'its memory, GB',
        'connections of a server'
      ],
      [1e5, 1e6, 3e6, 1e7, 3e7, 1e8].flatMap(sparks =>
        [5, 30, 480].map(minutes => {
          const fleet = ordinary(sparks, minutes * 60)
          const where = advised(costs, fleet)
          const stay = `${minutes} min`
          if (where === undefined)
            return [short(sparks), whole(fleet.servers), stay, 'none: too much for 256', '', '', '']
          return [
            short(sparks),
            whole(fleet.servers),
            stay,
            called(where),
            shown(ordinarily(fleet, where)),
            shown(memoryOf(where, fleet.servers, fleet.sparks) / 1e9),
            whole(where.shards)
          ]
        })
      )
    ),

  events: costs =>
    table(
      [
        'sparks',
        'servers',
        'on',
        'what happens',
        'cores asked, mean',
        'in the worst second',
        'network asked, MB/s',
        'a question takes at most',
        'a connect is written within',
        'all right after'
      ],
      (
        [
          [1e6, 1, 1],
          [1e7, 1, 1],
          [1e7, 6, 6],
          [1e8, 64, 64],
          [1e8, 128, 128]
        ] as const
      ).flatMap(([sparks, masters, shards]) => {
        const fleet = ordinary(sparks)
        const where = deployment(costs, masters, shards)
        const cut = Math.min(1e7, sparks / 10)
        const scenarios = [
          deploy(fleet, 30),
          deploy(fleet, 120),
          storm(fleet, Math.min(1e6, cut)),
          ...(cut > 1e6 ? [storm(fleet, cut)] : []),
          loss(fleet, 1),
          ...(fleet.servers > 100 ? [loss(fleet, fleet.servers / 100)] : [])
        ]
        return scenarios.map(scenario => {
          const { mean, peak, bytes, answer, behind, right } = outcome(scenario, where)
          const lost = answer > TIMEOUT
          return [
            short(sparks),
            whole(fleet.servers),
            called(where),
            scenario.name,
            shown(mean),
            peak > 1 ? `**${shown(peak)}**` : shown(peak),
            shown(bytes / 1e6),
            ...(lost ? ['**fails**', '**fails**', '**fails**'] : [time(answer), time(behind), time(right)])
          ]
        })
      })
    ),

  tuning: costs =>
    table(
      [
        'servers',
        '`lease`',
        'a crash is noticed within',
        'cores: beats, sweeps and audits',
        'cores: all servers restarted in 30 min',
        'in 2 h'
      ],
      [100, 1000, 10_000].flatMap(servers =>
        [5, 15, 60, 300].map(lease => {
          const fleet: Fleet = { ...ordinary(servers * 10_000, Infinity, lease), lookups: 0 }
          const where = deployment(costs, 1, 1)
          const [half, two] = [30, 120].map(minutes => outcome(deploy(fleet, minutes), where).mean)
          return [
            whole(servers),
            `${lease} s`,
            time((lease * 5) / 3),
            shown(ordinarily(fleet, where)),
            shown(half ?? NaN),
            shown(two ?? NaN)
          ]
        })
      )
    )
}

/** What audits ask of the busiest master, in cores: what is left of the ordinary when there is nothing to audit. */
function entriesAudited(fleet: Fleet, where: Deployment): number {
  const quiet = { ...fleet, lifetime: Infinity, lookups: 0 }
  return ordinarily(quiet, where) - ordinarily({ ...quiet, sparks: 0 }, where)
}

/** What was predicted and measured, part by part. */
export function checkTable(parts: readonly Part[]): string {
  return table(
    [
      'part',
      'seconds',
      'Redis, s of CPU: measured',
      'predicted',
      'error',
      'MB to Redis: measured',
      'predicted',
      'MB from Redis: measured',
      'predicted',
      'disturbed'
    ],
    parts.map(({ part, seconds, measured, predicted, disturbed }) => [
      part,
      shown(seconds),
      shown(measured.cpu),
      shown(predicted.cpu),
      `${predicted.cpu > measured.cpu ? '+' : '-'}${percent(Math.abs(predicted.cpu / measured.cpu - 1))}`,
      ...(['received', 'sent'] as const).flatMap(way => [shown(measured[way] / 1e6), shown(predicted[way] / 1e6)]),
      String(disturbed)
    ])
  )
}

/** The names of all blocks that follow from costs. */
export const BLOCKS = Object.keys(blocks)

/** Tables that follow from costs, by the names of their blocks in the document. */
export function tables(costs: Costs, names: readonly string[] = BLOCKS): Map<string, string> {
  return new Map(names.map(name => [name, blocks[name]?.(costs) ?? '']))
}

/** All plots that follow from costs, by the names of their files. */
export function plots(costs: Costs): Map<string, string> {
  const where = (
    [
      [1, 1],
      [3, 3],
      [16, 16],
      [64, 64]
    ] as const
  ).map(([masters, shards]) => deployment(costs, masters, shards))
  const sparks = Array.from({ length: 13 }, (_, i) => 10 ** (5 + i / 4))
  const servers = Array.from({ length: 9 }, (_, i) => 10 ** (2 + i / 4))
  const fleet = ordinary(1e7)
  const course = [...simulate(storm(fleet, 1e6), deployment(costs, 6, 6))]
  return new Map([
    [
      'steady.svg',
      plot({
        title: 'The ordinary, by what one core can do',
        x: { label: 'sparks, 10 000 to a server', log: true },
        y: { label: 'cores asked of the busiest master', log: true },
        series: where.map(one => ({
          name: called(one),
          points: sparks.map(count => [count, ordinarily(ordinary(count), one)] as const)
        }))
      })
    ],
    [
      'deploy.svg',
      plot({
        title: 'All servers restarted within half an hour, on any number of shards',
        x: { label: 'servers', log: true },
        y: { label: 'cores asked for one registry', log: true },
        series: [15, 60, 300].map(lease => ({
          name: `lease ${lease} s`,
          points: servers.map(
            count =>
              [
                count,
                outcome(
                  deploy({ servers: Math.round(count), sparks: 0, lifetime: Infinity, lookups: 0, lease }, 30),
                  deployment(costs, 1, 1)
                ).mean
              ] as const
          )
        }))
      })
    ],
    [
      'storm.svg',
      plot({
        title: 'Five million of ten are cut off, and come back at a million a minute',
        x: { label: 'seconds' },
        y: { label: 'millions of sparks' },
        series: (['registered', 'waiting', 'away'] as const).map(name => ({
          name,
          points: course.flatMap(({ sparks }, second) =>
            second >= BEFORE - 10 && second % 10 === 0 ? [[second - BEFORE, sparks[name] / 1e6] as const] : []
          )
        }))
      })
    ]
  ])
}
