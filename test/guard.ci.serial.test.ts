import { broadcast } from '../bench/broadcast'
import { forward } from '../bench/forward'
import { median } from '../bench/harness/figures'
import { Stage, type Measured } from '../bench/harness/stage'
import type { Work } from '../bench/harness/work'
import { lookup } from '../bench/lookup'
import { reap } from '../bench/reap'
import { register } from '../bench/register'
import { former, ours, type Subject } from '../bench/subjects'
import { assume } from './support/assume'

const scale = { ms: 300, warm: 500, clients: 100, most: 256, size: 0.05 }
/**
 * Of a work that is found too slow at once, the median of so many rounds counts: other programs may have had the cores.
 */
const ROUNDS = 3

/** What a row may cost at the most, as a share of what 1.0.2 takes. */
interface Guard {
  readonly work: Work
  readonly row: RegExp
  readonly what: string
  readonly cost: (row: Measured) => number
  readonly most: number
}

const servers = ({ cpu: { sender = 0, receivers = 0 } }: Measured): number => sender + receivers
const longest = ({ figures }: Measured): number => figures?.['longest script, ms'] ?? NaN

/** Some two to three times what the bench has measured: bench/README.md has it. */
const guards: readonly Guard[] = [
  { work: register, row: /^connect, bursts/, what: 'a connect, in CPU of the server', cost: servers, most: 0.2 },
  {
    work: register,
    row: /^connect, bursts/,
    what: 'a connect, in CPU of Redis',
    cost: ({ cpu }) => cpu.redis ?? NaN,
    most: 0.6
  },
  // With few in flight Redis and the server wait for each other, and what that costs depends on who else has the cores.
  { work: lookup, row: /^one spark, (?!64)/, what: 'a lookup, of many in flight', cost: servers, most: 0.75 },
  { work: forward, row: /^64 in flight$/, what: 'a message to another server', cost: servers, most: 0.35 },
  { work: broadcast, row: /^3 × .* 4 calls in flight$/, what: 'a delivery of a broadcast', cost: servers, most: 0.7 },
  {
    work: reap,
    row: /./,
    what: 'a reap of 50 000 sparks, in the time that Redis answers no other command',
    cost: longest,
    most: 0.25
  }
]

/** All rows of a work. */
async function rowsOf(work: Work, subject: Subject): Promise<Measured[]> {
  const stage = await Stage.open(subject, work.cast(scale, subject))
  try {
    const rows: Measured[] = []
    for await (const row of work.measure(stage, scale)) rows.push(row)
    return rows
  } finally {
    await stage.close()
  }
}

/** The costs of ours as shares of those of 1.0.2, one for each of these guards of one work. */
async function round(guarded: readonly Guard[]): Promise<number[]> {
  const [first] = guarded
  if (first === undefined) return []
  const mine = await rowsOf(first.work, ours)
  const theirs = await rowsOf(first.work, former)
  const of = (rows: readonly Measured[], { row, cost, what }: Guard): number => {
    const found = rows.find(measured => row.test(measured.row))
    if (found === undefined || found.failed > 0 || !(cost(found) > 0)) throw new Error(`${what} could not be measured`)
    return cost(found)
  }
  return guarded.map(guard => of(mine, guard) / of(theirs, guard))
}

describe('beside 1.0.2', () => {
  for (const work of new Set(guards.map(({ work }) => work))) {
    const guarded = guards.filter(guard => guard.work === work)
    it(`costs at the most ${guarded.map(({ most, what }) => `${most} of ${what}`).join(', ')}`, async () => {
      const rounds = [await round(guarded)]
      const tooMuch = (): boolean =>
        guarded.some(({ most }, i) => median(rounds.map(shares => shares[i] ?? NaN)) > most)
      while (tooMuch() && rounds.length < ROUNDS) rounds.push(await round(guarded))
      guarded.forEach(({ most, what }, i) => {
        const shares = rounds.map(shares => shares[i] ?? NaN)
        assume(median(shares) <= most ? '' : `${what}: ${shares.join(', ')} of 1.0.2, at the most ${most}`).equals('')
      })
    }).timeout(180_000)
  }
})
