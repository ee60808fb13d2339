import { Message } from '../../lib/common/encoded-message'
import { sparkHandlers } from '../../lib/transport/receiving/spark-handlers'
import { assume } from '../support/assume'

/** A server without sparks. */
const NOWHERE = { some: () => ({ send: 0 }), all: () => ({ send: 0 }), groups: () => ({ send: 0 }) }

describe('a message for sparks that comes from a peer', () => {
  it('is written once to each spark, however often it is named', () => {
    const written: string[] = []
    const { some } = sparkHandlers({
      some: ids => {
        written.push(...ids)
        return { send: ids.length, missing: [] }
      },
      all: () => ({ send: 0, missing: [] }),
      groups: () => ({ send: 0, missing: [] })
    })
    assume(
      some.apply({ from: 'the-sender12', kind: 'some', to: ['a', 'b', 'a'], message: Message.of('x', false) })
    ).equals(2)
    assume(written).eql(['a', 'b'])
  })

  for (const to of ['', 'a', null, 42, {}, [''], [null], [42], [['a']]]) {
    it(`is refused when it is for ${JSON.stringify(to)}`, () => {
      const { some, all } = sparkHandlers(NOWHERE)
      for (const handler of [some, all]) {
        assume(() => {
          handler.check({ from: 'the-sender12', kind: 'some', to, message: Message.of('x', false) })
        }).throws(/strings that are not empty/)
      }
    })
  }
})
