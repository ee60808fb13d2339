import { Ground } from './faults/ground'
import { fuzz } from './fuzz/fuzz'
import { assume } from './support/assume'
import { anySeed } from './support/command'

describe('our endpoint, under random requests', () => {
  it('neither crashes nor hangs, delivers only valid requests, and keeps nothing', async function () {
    this.timeout(120_000)
    const seed = anySeed()
    const { delivered } = await fuzz(await Ground.make(false), { seed, cases: 1000, say: () => undefined })
    assume(delivered).is.above(0)
  })
})
