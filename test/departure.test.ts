import { deferred } from '../lib/common/async'
import { DelayedLeave } from '../lib/drain/delayed-leave'
import { assume } from './support/assume'

describe('a departure', () => {
  let left: number
  let departure: DelayedLeave

  beforeEach(() => {
    left = 0
    departure = new DelayedLeave(() => {
      left++
      return Promise.resolve()
    })
  })

  it('comes after the wait, and once', async () => {
    const told = deferred<undefined>()
    const gone = departure.after(told.promise)
    assume(left).equals(0)
    told.resolve(undefined)
    await gone
    departure.now()
    assume(left).equals(1)
  })

  it('comes at once, and once, when another registration follows', async () => {
    const told = deferred<undefined>()
    const gone = departure.after(told.promise)
    departure.now()
    assume(left).equals(1)
    told.resolve(undefined)
    await gone
    assume(left).equals(1)
  })

  it('does not come when the drain is lifted during the wait', async () => {
    const told = deferred<undefined>()
    const gone = departure.after(told.promise)
    departure.cancel()
    told.resolve(undefined)
    await gone
    departure.now()
    assume(left).equals(0)
  })
})
