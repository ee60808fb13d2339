import { Ground } from './faults/ground'
import { assume } from './support/assume'
import { anySeed } from './support/command'
import { stress } from './stress/stress'

describe('messages between servers', () => {
  // Over Redis all takes longer, and its long form is the same.
  for (const [transport, messages, faults, kills] of [
    ['http', 3000, 40, 2],
    ['redis', 1000, 15, 1]
  ] as const) {
    it(`are not lost, doubled, reordered or wrongly reported when connections break; ${transport}`, async function () {
      this.timeout(120_000)
      const seed = anySeed()
      try {
        const { sent, retried } = await stress(await Ground.make(false), {
          transport,
          seed,
          messages,
          faults,
          kills,
          say: () => undefined
        })
        assume(sent).is.above(messages - 1)
        assume(retried).is.above(0)
      } catch (error) {
        ;(error as Error).message +=
          ` (npm run stress -- --messages ${messages} --faults ${faults} --kills ${kills} --transport ${transport} ` +
          `--seed ${seed})`
        throw error
      }
    })
  }
})
