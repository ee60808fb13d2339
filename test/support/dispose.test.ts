import { assume } from './assume'
import { using } from './dispose'

describe('support: disposing', () => {
  const done: string[] = []

  it('registers disposers while a test runs', () => {
    using(() => done.push('first registered'))
    using(async () => {
      await Promise.resolve()
      done.push('second registered')
    })
    using(() => {
      using(() => done.push('registered by a disposer'))
    })
    assume(done.length).equals(0)
  })

  it('has run them after that test, the last one first, and those of disposers too', () => {
    assume(done).deep.equals(['registered by a disposer', 'second registered', 'first registered'])
  })
})

describe('support: disposing outside of a test', () => {
  let error: unknown
  before(() => {
    try {
      using(() => undefined)
    } catch (thrown) {
      error = thrown
    }
  })

  it('is refused, because no disposal would follow', () => {
    assume(String(error)).includes('after hook')
  })
})
