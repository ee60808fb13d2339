import { rows } from './faults'
import { Ground } from './faults/ground'
import { note } from './faults/measured'
import { kept } from './faults/row'
import { assume } from './support/assume'

/** How often each fault is provoked; once in a usual run of the tests, which is the short form. */
const runs = Number(process.env['METROPLEX_FAULT_RUNS'] ?? 1)
const long = process.env['METROPLEX_FAULT_RUNS'] !== undefined
const only = process.env['METROPLEX_FAULTS']?.split(',')

describe('a fault', () => {
  for (const row of rows.filter(row => (only?.includes(row.id) ?? true) && (long || row.long !== true))) {
    const times = long ? row.runs ?? runs : 1
    for (let run = 1; run <= times; run++) {
      const nth = times === 1 ? '' : ` (${run} of ${times})`
      it(`${row.id}, ${row.fault}: ${row.promise}${nth}`, async function () {
        this.timeout(240_000)
        const figures = await row.provoke(await Ground.make(long))
        note(row, figures)
        row.measures.forEach((measure, i) => {
          const figure = figures[i] ?? NaN
          if (long || measure.long !== true) assume(kept(measure, figure)).true(`${measure.what} ${figure} ${measure.unit}`)
        })
      })
    }
  }
})
