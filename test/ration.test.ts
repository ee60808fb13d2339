import fc from 'fast-check'
import { RateLimiter } from '../lib/drain/rate-limiter'
import { assume } from './support/assume'

/** When so many go, if each client comes back as late as it is told here, again and again, in ms. */
function times(ration: RateLimiter, rate: number, count: number, late: readonly number[], from = 0): number[] {
  const went: number[] = []
  let now = from
  ration.begin(rate, now)
  for (let turn = 0; went.length < count; turn++) {
    const wait = ration.wait(now)
    if (wait > 0) {
      now += Math.ceil(wait) + (late[turn % late.length] ?? 0)
      continue
    }
    ration.record(now)
    went.push(now)
  }
  return went
}

/** The most that went in any second, its two ends included. */
function most(went: readonly number[]): number {
  return Math.max(...went.map((time, at) => went.slice(at).filter(other => other - time <= 1000).length))
}

describe('a ration', () => {
  it('allows no second more than its rate, however late timers are', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.integer({ min: 1, max: 300 }), fc.double({ min: 1, max: 300, noNaN: true })),
        fc.array(fc.integer({ min: 0, max: 3000 }), { minLength: 1, maxLength: 20 }),
        (rate, late) => most(times(new RateLimiter(), rate, 3 * Math.ceil(rate), late)) <= rate
      ),
      { numRuns: 60 }
    )
  })

  it('counts what went at another rate before', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 100 }), fc.integer({ min: 1, max: 100 }), (one, two) => {
        const ration = new RateLimiter()
        const before = times(ration, one, 3 * one, [0])
        const after = times(ration, two, 3 * two, [0], before.at(-1))
        return most([...before, ...after]) <= Math.max(one, two)
      }),
      { numRuns: 40 }
    )
  })

  it('lets one go in so many seconds below a rate of 1', () => {
    const went = times(new RateLimiter(), 0.25, 10, [0])
    const pauses = went.slice(1).map((time, at) => time - (went[at] ?? 0))
    assume(Math.min(...pauses)).is.above(3999)
    assume(Math.max(...pauses)).is.below(6100)
  })

  it('is nearly used up', () => {
    const went = times(new RateLimiter(), 100, 1000, [0, 1])
    assume(went.at(-1)).is.below(11_000)
  })

  it('is random, so that servers do not act in step', () => {
    const [one, two] = [times(new RateLimiter(), 10, 20, [0]), times(new RateLimiter(), 10, 20, [0])]
    assume(one).not.deep.equals(two)
  })

  it('takes a rate that is very small or very large', () => {
    const [slow, quick] = [new RateLimiter(), new RateLimiter()]
    slow.begin(Number.MIN_VALUE, 0)
    assume(slow.wait(1e9)).is.above(0)
    assume(times(quick, Number.MAX_VALUE, 1000, [0]).at(-1)).is.below(50)
  })
})
