import { series } from './model/series'
import { assume } from './support/assume'

/** How long the short form goes on beginning runs, in ms; `npm run test:model` is the long one. */
const LONG_ENOUGH = 30_000

describe('the registry, whatever happens', () => {
  it('says what is there, and nobody is said to have left who has not', async function () {
    this.timeout(300_000)
    const seed = Date.now() % 1_000_000_000
    const { runs, failures } = await series({ seed, runs: 10_000, within: LONG_ENOUGH, together: 4 })
    assume(failures.join('\n')).equals('')
    assume(runs).is.above(10)
  })
})
