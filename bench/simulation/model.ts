import { Dice } from '../../test/support/dice'
import { priceOf, sum, type Cost, type Operation } from './costs'
import { background, memoryOf, periodOf, registriesOf, SLICE, type Deployment, type Fleet, type Load } from './fleet'

/** What happens in a second besides what always does. */
export interface Happening {
  /** Sparks whose connections break while their servers live. */
  readonly cut?: number
  /** Sparks that are new. */
  readonly arrive?: number
  /** Servers that are killed. */
  readonly die?: number
  /** Servers that take their leave, and are back after `RESTART`. */
  readonly restart?: number
}

/** What is to be simulated. */
export interface Scenario {
  readonly name: string
  readonly fleet: Fleet
  readonly seconds: number
  readonly happens: (second: number) => Happening
  /**
   * How many clients that lost their connection come back in a second at the most.
   *
   * @default as soon as their pauses have passed
   */
  readonly returning?: number
}

/**
 * How it stands at the end of a second. Sparks are those of the whole cluster; CPU and memory those of the busiest
 * master.
 */
export interface Second {
  /** Cores that were asked for by work itself; and the share of one that was used, with waking up for it. */
  readonly asked: number
  readonly used: number
  /** What it cost all masters together. */
  readonly spent: Cost
  readonly memory: number
  /** Ids in a commit. */
  readonly batch: number
  /** Seconds until a question is answered, and until what has connected is written. */
  readonly answer: number
  readonly behind: number
  readonly sparks: Sparks
  /** Servers that live. */
  readonly servers: number
  /** Servers that have yet to hear of the last join or leave. */
  readonly unaware: number
}

/**
 * Where sparks are, in numbers. `registered`, `waiting` and `away` are all clients; `registered`, `leaving` and `stale`
 * are all entries.
 */
export interface Sparks {
  /** Connected, and in the registry. */
  registered: number
  /** Connected, and not written yet. */
  waiting: number
  /** Gone, and not removed yet by their server, which lives. */
  leaving: number
  /** Entries of servers that have gone. */
  stale: number
  /** Clients that will come back. */
  away: number
}

/** Servers that have died, until they are buried. */
interface Dead {
  readonly servers: number
  readonly entries: number
  readonly noticed: number
}

/** Until a server that was restarted is there again, and the mean pause before a client comes back, in seconds. */
const RESTART = 5
const PAUSE = 5
/** Entries a second that one reaper removes at the most in one registry: as the README has it of a million. */
const REAPED = 200_000
/** How long a commit takes when Redis has little to do, in seconds: what comes meanwhile travels together. */
const ROUND_TRIP = 0.001
/** The most joins and leaves that are remembered one by one. */
const LOG = 256
/** Sizes of a commit that are tried. */
const BATCHES = [1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, SLICE]

/**
 * Plays a scenario, second by second, by what operations cost. The same seed gives the same numbers.
 *
 * All servers are alike, and all registries. What one core cannot do in a second waits for the next one. Commits grow
 * as they wait: a server has one under way, and what connects meanwhile goes into the next.
 */
export function* simulate(
  { fleet, seconds, happens, returning = Infinity }: Scenario,
  where: Deployment,
  seed = 1
): Generator<Second, void, undefined> {
  const dice = new Dice(seed)
  const { shards, prices } = where
  const registries = registriesOf(where)
  const period = periodOf(fleet)
  const price = (operation: Operation, n = 1): Cost => priceOf(prices, operation, n)
  // Each looks at those who have come and gone since its last beat; when they are too many for the log, at all.
  const catchingUp = (changes: number, servers: number): Cost =>
    changes > LOG ? price('census', servers) : price('changes', Math.max(1, changes))
  const sparks: Sparks = { registered: fleet.sparks, waiting: 0, leaving: 0, stale: 0, away: 0 }
  let servers = fleet.servers
  let unaware = 0
  /** Joins and leaves of each second, as far back as a beat. */
  const news: number[] = []
  let backlog = 0
  let dead: Dead[] = []
  const starting: { readonly servers: number; readonly at: number }[] = []

  for (let second = 0; second < seconds; second++) {
    const { cut = 0, arrive = 0, die = 0, restart = 0 } = happens(second)
    let changes = 0
    let registering = 0
    const extra: [number, Cost][] = []

    const broken = Math.min(cut, sparks.registered)
    move(sparks, 'registered', 'leaving', broken)
    sparks.away += broken
    sparks.waiting += arrive

    if (die > 0) {
      const entries = leaveBehind(sparks, die / servers)
      servers -= die
      dead.push(...buriedBy(die, entries, second + fleet.lease, period, dice))
    }
    if (restart > 0) {
      const entries = leaveBehind(sparks, restart / servers)
      // Who leaves cleans up after itself, beside all others that do.
      sparks.stale -= entries
      extra.push([restart, price('leave')], [entries / shards, price('reap')])
      servers -= restart
      changes += restart
      starting.push({ servers: restart, at: second + RESTART })
    }
    while (starting[0] !== undefined && starting[0].at <= second) {
      const { servers: back } = starting.shift() ?? { servers: 0 }
      servers += back
      changes += back
      registering += back
      extra.push([back, sum([1, price('join')], [1, price('census', servers)])])
    }

    const buried = dead.filter(({ noticed }) => noticed <= second)
    dead = dead.filter(({ noticed }) => noticed > second)
    changes += buried.reduce((all, { servers }) => all + servers, 0)
    const unnoticed = dead.reduce((all, { entries }) => all + entries, 0)
    const reaped = Math.min(sparks.stale - unnoticed, REAPED * shards)
    sparks.stale -= reaped
    extra.push([reaped / shards, price('reap')])

    const ended = Math.min(sparks.registered, poisson(dice, sparks.registered / fleet.lifetime))
    move(sparks, 'registered', 'leaving', ended)
    sparks.waiting += ended
    move(
      sparks,
      'away',
      'waiting',
      Math.min(sparks.away, returning, returning < Infinity ? returning : sparks.away / PAUSE + 1)
    )

    const beats = poisson(dice, servers / period)
    if (changes > 0) unaware = servers
    news.push(changes)
    if (news.length > period) news.shift()
    const looking = Math.min(unaware, beats)
    unaware -= looking
    const { sweeps, audits, lookups } = background(
      fleet,
      where,
      servers,
      (sparks.registered + sparks.leaving + sparks.stale) / shards
    )
    const load: Load = [
      [beats, price('beat')],
      [
        looking,
        catchingUp(
          news.reduce((all, one) => all + one, 0),
          servers
        )
      ],
      ...sweeps,
      ...audits,
      ...lookups,
      ...extra
    ]
    // In one registry. A server that registers repeats the secret and the layout. With shards no beat reaches the
    // layout, so each server renews it once in a period.
    const agreements: Load = [
      [registering, price('agree', 2)],
      [shards === 1 ? 0 : beats, price('agree')]
    ]
    const own = sum(...load)
    const fixed = sum([registries, own], ...agreements)

    const commit = (size: number): Cost => {
      const connects = sparks.waiting / (sparks.waiting + sparks.leaving)
      return sum([connects, price('connect', size)], [1 - connects, price('disconnect', size)])
    }
    const due = (sparks.waiting + sparks.leaving) / shards
    const cores = fixed.cpu / 1e6 + backlog
    const { batch, written, cost } = write(due, servers, registries, 1 - cores, commit, (broken + arrive) / shards)
    const asked = fixed.cpu / 1e6 + (((registries * due) / batch) * cost.cpu) / 1e6
    const share = written / due
    if (due > 0) {
      move(sparks, 'waiting', 'registered', sparks.waiting * share)
      sparks.leaving *= 1 - share
    }
    const busy = Math.min(1, cores + (((registries * written) / batch) * cost.cpu) / 1e6)
    // What comes while Redis sleeps has to wake it: the less it has to do, the more often.
    const waking = (prices.wake / 1e6) * (fixed.trips + ((registries * written) / batch) * cost.trips)
    const used = (busy + waking) / (1 + waking)
    // A server asks the next thing when it has been told the last one: more than a period's work never waits.
    backlog = Math.min(Math.max(0, cores - 1), (period * fixed.cpu) / 1e6)
    // As soon as commits have to wait, each server has one under way: then that is how long a turn takes.
    const turn = batch > 1 && busy === 1 ? (servers * batch) / written : cost.cpu / 1e6
    const all = sum([shards, own], ...agreements, [due === 0 ? 0 : (shards * written) / batch, cost])
    yield {
      asked,
      used,
      spent: all,
      memory: memoryOf(where, servers, sparks.registered + sparks.leaving + sparks.stale),
      batch,
      servers,
      unaware: unaware + dead.length + starting.length,
      answer: backlog + turn,
      behind: backlog + turn + (written > 0 ? due / written - 1 : 0),
      sparks: { ...sparks }
    }
  }
}

/**
 * What becomes of the ids that wait in a registry, of which some came at once: how many are written, in commits of what
 * size.
 */
function write(
  due: number,
  servers: number,
  registries: number,
  cores: number,
  commit: (size: number) => Cost,
  atOnce: number
): { batch: number; written: number; cost: Cost } {
  if (due <= 0) return { batch: 1, written: 0, cost: sum() }
  const each = due / servers
  const least = Math.max(1, Math.min(SLICE, Math.max(each * ROUND_TRIP, atOnce / servers)))
  const most = Math.max(least, Math.min(SLICE, each))
  const asked = (size: number): number => (((registries * due) / size) * commit(size).cpu) / 1e6
  const sizes = [least, ...BATCHES.filter(size => size > least && size < most), most]
  const batch = sizes.find(size => asked(size) <= cores) ?? most
  // Each server has a commit under way beside all else: however much that is, they get their share.
  const share = Math.min(1, Math.max(cores / asked(batch), 1 / (2 - cores + asked(batch))))
  return { batch, written: due * share, cost: commit(batch) }
}

/**
 * When servers that die at once are found: each has beaten at another moment of the last period, and so their leases
 * end within one. A sweep, which comes once a period, finds those that have ended by then, and the next one the rest.
 */
function buriedBy(servers: number, entries: number, lease: number, period: number, dice: Dice): Dead[] {
  const sweep = dice.roll()
  const first = servers === 1 ? Number(dice.roll() < sweep) : Math.round(servers * sweep)
  return [[first, sweep - 1] as const, [servers - first, sweep] as const]
    .filter(([count]) => count > 0)
    .map(([count, periods]) => ({
      servers: count,
      entries: (entries * count) / servers,
      noticed: lease + periods * period
    }))
}

/** A share of the servers has gone, with their sparks: entries stay behind. Returns how many. */
function leaveBehind(sparks: Sparks, share: number): number {
  const { registered, waiting, leaving } = sparks
  const entries = (registered + leaving) * share
  sparks.away += (registered + waiting) * share
  sparks.registered -= registered * share
  sparks.waiting -= waiting * share
  sparks.leaving -= leaving * share
  sparks.stale += entries
  return entries
}

function move(sparks: Sparks, from: keyof Sparks, to: keyof Sparks, count: number): void {
  sparks[from] -= count
  sparks[to] += count
}

/** A number of events that come by chance, of which there are `mean` on the average. */
function poisson(dice: Dice, mean: number): number {
  if (mean > 50) {
    const normal = Math.sqrt(-2 * Math.log(1 - dice.roll())) * Math.cos(2 * Math.PI * dice.roll())
    return Math.max(0, Math.round(mean + Math.sqrt(mean) * normal))
  }
  let count = 0
  for (let left = dice.roll(); left > Math.exp(-mean); left *= dice.roll()) count++
  return count
}
