import { assume } from '../support/assume'
import { Ground } from './ground'
import { judgeHealth } from './health'
import { note } from './measured'
import { kept, type Measure, type Row } from './row'

const { METROPLEX_FAULT_RUNS: given, METROPLEX_FAULTS: named, METROPLEX_FAULT_STRICT: strictly } = process.env

/** Whether this is the long form, `npm run test:faults`: it provokes each fault several times, and judges every run. */
const long = given !== undefined
/** Whether the short form holds the bounds of times as they are, which takes a machine that does little else. */
const strict = strictly !== undefined
const only = named?.split(',')

/**
 * How often the strict form provokes a fault before it calls a figure too high: the machine may be busy for a moment.
 */
const TRIES = 3

/** Defines a test for each of these faults; the long form leaves none out, and the short form provokes each once. */
export function provoke(rows: readonly Row[]): void {
  describe('a fault', () => {
    for (const row of rows.filter(row => (only?.includes(row.id) ?? true) && (long || row.long !== true))) {
      const times = long ? (row.runs ?? Number(given)) : 1
      for (let run = 1; run <= times; run++) {
        const nth = times === 1 ? '' : ` (${run} of ${times})`
        it(`${row.id}, ${row.fault}: ${row.promise}${nth}`, async function () {
          this.timeout(strict ? TRIES * 240_000 : 240_000)
          for (let tries = 1; ; tries++) {
            const ground = await Ground.make(long)
            const observed = (ground.observed = [])
            const figures = await row.provoke(ground)
            await judgeHealth(row, observed, ground.lasting)
            const late = row.measures.find((measure, i) => measure.unit === 'ms' && !fits(measure, figures[i] ?? NaN))
            if (strict && late !== undefined && tries < TRIES) continue
            note(row, figures)
            row.measures.forEach((measure, i) => {
              const figure = figures[i] ?? NaN
              assume(fits(measure, figure)).true(`${measure.what} ${figure} ${measure.unit}`)
            })
            return
          }
        })
      }
    }
  })
}

/**
 * Whether a figure is as promised.
 *
 * The usual short form runs beside other tests, so it only tells a time from one that is several times as long; the
 * strict form and the long form hold the bound itself.
 */
function fits(measure: Measure, figure: number): boolean {
  if (measure.long === true && !long) return true
  const { unit, atMost } = measure
  if (long || strict || unit !== 'ms' || atMost === undefined) return kept(measure, figure)
  return kept({ ...measure, atMost: 3 * atMost + 5000 }, figure)
}
