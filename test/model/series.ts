import fc from 'fast-check'
import { happenings, type Step } from './commands'
import { Model } from './model'
import type { Limit } from './rules'
import { openStage, SERVERS, type Stage } from './stage'
import { World, type Worst } from './world'

/** For how long a failure is made smaller, in ms. */
const SHRINKING = 60_000

/** The option `limit` of a run; half of them have none. */
const limits: fc.Arbitrary<Limit | undefined> = fc.constantFrom<(Limit | undefined)[]>(
  undefined,
  undefined,
  undefined,
  undefined,
  { sparks: 1, over: 'oldest' },
  { sparks: 2, over: 'oldest' },
  { sparks: 1, over: 'refuse' },
  { sparks: 2, over: 'refuse' }
)

/** Which runs to make. */
export interface Seriously {
  /** The seed of the first run; each further one has the next. */
  readonly seed: number
  /** How many, at most. */
  readonly runs: number
  /** Begin no further run after so many ms. @default no bound */
  readonly within?: number
  /** How many at a time, each with a Redis of its own. */
  readonly together: number
  /** Of one run: where its counterexample was, as it was printed. */
  readonly path?: string
  /** The same of its steps. */
  readonly replay?: string
  /** Whether to go on after a failure. @default false */
  readonly all?: boolean
  /** Told after each run. */
  readonly progress?: (tally: Tally) => void
}

/** What has come of it so far. */
export interface Tally {
  runs: number
  /** What was shrunk, with how to repeat it. */
  readonly failures: string[]
  readonly worst: Worst
}

/** Makes many runs, several at the same time. */
export async function series(what: Seriously): Promise<Tally> {
  const { seed, runs, within = Infinity, together, path, replay, all = false, progress } = what
  const tally: Tally = { runs: 0, failures: [], worst: { quick: 0, slow: 0, settled: 0 } }
  const end = performance.now() + within
  let next = 0
  const work = async (): Promise<void> => {
    const stage = await openStage()
    try {
      while (next < runs && performance.now() < end && (all || tally.failures.length === 0)) {
        await one(stage, seed + next++)
      }
    } finally {
      await stage.close()
    }
  }
  const one = async (stage: Stage, number: number): Promise<void> => {
    let failed = Infinity
    let first = ''
    const property = fc.asyncProperty(limits, happenings(replay), async (limit, steps) => {
      fc.pre(performance.now() - failed < SHRINKING)
      try {
        const { worst } = await perform(stage, steps, limit)
        for (const key of ['quick', 'slow', 'settled'] as const)
          tally.worst[key] = Math.max(tally.worst[key], worst[key])
      } catch (error) {
        failed = Math.min(failed, performance.now())
        // What depends on time may not come again when it is made smaller: the first time is worth telling, too.
        first ||= `at first: ${fc.stringify([limit, steps])}\n${String(error)}`
        throw error
      }
    })
    const details = await fc.check(property, {
      seed: number,
      numRuns: 1,
      maxSkipsPerRun: 0,
      ...(path !== undefined && { path })
    })
    tally.runs++
    if (details.failed) {
      const path = details.counterexamplePath
      const again = `--seed ${number}${path === null ? '' : ` --path ${path}`}`
      tally.failures.push(
        `${again}\n${first}\nshrunk: ${fc.stringify(details.counterexample)}\n${String(details.errorInstance)}`
      )
    }
    progress?.(tally)
  }
  await Promise.all(Array.from({ length: Math.min(together, runs) }, () => work()))
  return tally
}

/**
 * Lets all of this happen to real servers, two to begin with, and then holds that they say what is there. Resolves with
 * how long things took.
 */
export async function perform(stage: Stage, happening: Iterable<Step>, limit?: Limit): Promise<World> {
  const model = new Model(SERVERS, limit !== undefined)
  const world = new World(stage, model, limit)
  try {
    // Two are there to begin with, so that little is wasted.
    for (const server of [0, 1]) {
      model.start(server)
      await world.start(server)
    }
    await fc.asyncModelRun(() => ({ model, real: world }), happening)
    await world.settle()
  } finally {
    await world.close()
  }
  return world
}
