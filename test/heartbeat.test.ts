import { delay } from '../lib/common/async'
import { ignore } from '../lib/common/callback'
import { Heartbeat } from '../lib/membership/heartbeat'
import { assume } from './support/assume'
import { using } from './support/dispose'

/** How long a beat waits for Redis, in ms. */
const WAIT = 200

describe('a heartbeat', () => {
  it('counts the time without failures from the end of the first beat, which may have waited for Redis', async () => {
    let answered = Infinity
    const beat = async (): Promise<void> => {
      await delay(WAIT)
      answered = performance.now()
    }
    const heartbeat = new Heartbeat(beat, { period: 60_000, retry: 60_000 }, { failed: ignore })
    using(() => heartbeat.stop())
    heartbeat.start()
    assume(heartbeat.unbroken).equals(0)
    await heartbeat.now()
    const { unbroken } = heartbeat
    assume(unbroken).is.above(0)
    assume(unbroken).is.atmost(performance.now() - answered)
  })

  it('counts anew after a failure', async () => {
    const outcomes = [Promise.resolve(), Promise.reject(new Error('of Redis')), Promise.resolve()]
    for (const outcome of outcomes) outcome.catch(ignore)
    const failures: string[] = []
    const heartbeat = new Heartbeat(
      () => outcomes.shift() ?? Promise.resolve(),
      { period: 60_000, retry: 60_000 },
      { failed: ({ message }) => failures.push(message) }
    )
    using(() => heartbeat.stop())
    heartbeat.start()
    await heartbeat.now()
    assume(heartbeat.unbroken).is.above(0)
    await heartbeat.now()
    assume(heartbeat.unbroken).equals(0)
    assume(failures).eql(['of Redis'])
    await heartbeat.now()
    assume(heartbeat.unbroken).is.above(0)
  })
})
