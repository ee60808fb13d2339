import { callAll, callbackify } from '../lib/common/callback'
import { delay, singleFlight, withTimeout } from '../lib/common/async'
import { asError, inspectValue } from '../lib/common/errors'
import { assume } from './support/assume'
import { using } from './support/dispose'
import { rejection } from './support/rejection'

describe('both calling styles', () => {
  it('hand out the promise without a callback', async () => {
    assume(await callbackify(Promise.resolve(1), undefined, 'self')).equals(1)
  })

  it('return the object for chaining with one', done => {
    assume(
      callbackify(
        Promise.resolve(1),
        (error, value) => {
          assume(error).equals(null)
          assume(value).equals(1)
          done()
        },
        'self'
      )
    ).equals('self')
  })

  it('call back with the error', done => {
    callbackify(
      Promise.reject(new Error('no')),
      error => {
        assume(error?.message).equals('no')
        done()
      },
      null
    )
  })

  it('accept null as no callback, and refuse at once a value that is none', async () => {
    assume(await callbackify(Promise.resolve(1), null as unknown as undefined, 'self')).equals(1)
    assume(() => callbackify(Promise.reject(new Error('no')), 42 as never, 'self')).throws(
      /a callback must be a function; given: 42/
    )
  })

  it('leave no unhandled rejection without an await, and still reject for one', async () => {
    const promise = callbackify(Promise.reject(new Error('no')), undefined, null) as Promise<never>
    await delay(1)
    assume((await rejection(promise)).message).equals('no')
  })

  it('throw what a callback throws as an uncaught exception, outside of our promises', done => {
    const listeners = process.listeners('uncaughtException')
    process.removeAllListeners('uncaughtException')
    process.once('uncaughtException', error => {
      for (const listener of listeners) process.on('uncaughtException', listener)
      assume(error.message).equals('thrown by the user')
      done()
    })
    callbackify(
      Promise.resolve(),
      () => {
        throw new Error('thrown by the user')
      },
      null
    )
  })
})

describe('what is called for many', () => {
  it('goes on with the others when one throws, which is thrown as an uncaught exception', async () => {
    const listeners = process.listeners('uncaughtException')
    process.removeAllListeners('uncaughtException')
    using(() => {
      process.removeAllListeners('uncaughtException')
      for (const listener of listeners) process.on('uncaughtException', listener)
    })
    const [called, thrown]: [number[], string[]] = [[], []]
    process.on('uncaughtException', error => {
      thrown.push(error.message)
    })
    await new Promise<void>(resolve => {
      process.nextTick(callAll, [1, 2, 3, 4], (item: number) => {
        called.push(item)
        if (item < 3) throw new Error(`thrown by ${item}`)
        if (item === 4) resolve()
      })
    })
    assume(called).eql([1, 2, 3, 4])
    assume(thrown).eql(['thrown by 1', 'thrown by 2'])
  })
})

describe('a task that is shared', () => {
  it('runs once for all calls of one turn, and once more for calls made during the run', async () => {
    let runs = 0
    const ends: (() => void)[] = []
    const ask = singleFlight(() => {
      runs++
      return new Promise(resolve => {
        ends.push(resolve)
      })
    })
    const first = [ask(), ask()]
    await delay(1)
    const second = [ask(), ask(), ask()]
    assume(runs).equals(1)
    ends.shift()?.()
    await Promise.all(first)
    await delay(1)
    assume(runs).equals(2)
    ends.shift()?.()
    await Promise.all(second)
    assume(runs).equals(2)
  })

  it('fails for all callers of a run, and runs again for the next call', async () => {
    let runs = 0
    const ask = singleFlight(() => (++runs === 1 ? Promise.reject(new Error('no')) : Promise.resolve()))
    const both = [ask(), ask()]
    for (const one of both) assume((await rejection(one)).message).equals('no')
    await ask()
    assume(runs).equals(2)
  })
})

describe('a deadline', () => {
  it('rejects with the error it is given', async () => {
    assume((await rejection(withTimeout(new Promise(() => undefined), 5, () => new Error('late')))).message).equals(
      'late'
    )
  })

  it('lets what is in time through', async () => {
    assume(await withTimeout(Promise.resolve('in time'), 1000, () => new Error('late'))).equals('in time')
  })

  it('ends a pause early when it is aborted', async () => {
    const abort = new AbortController()
    const paused = delay(60_000, abort.signal)
    abort.abort()
    await paused
    await delay(60_000, abort.signal)
  })
})

/** A value that throws at each look at it. */
function revoked(): object {
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  return proxy
}

describe('what an error shows of a value', () => {
  for (const [value, text] of [
    ['a', "'a'"],
    ['x'.repeat(100), `'${'x'.repeat(60)}…'`],
    [[1, 2], 'an array of 2'],
    [{}, 'an object (Object)'],
    [Object.create(null), 'an object (Object)'],
    [null, 'null'],
    [undefined, 'undefined'],
    [Symbol('s'), 'Symbol(s)'],
    [
      class Foo {
        foo = 1
      },
      'function Foo'
    ],
    [() => undefined, 'function (anonymous)'],
    [10n, '10'],
    [revoked(), 'an object that cannot be read']
  ] as [unknown, string][]) {
    it(`is ${text.slice(0, 20)}`, () => {
      assume(inspectValue(value)).equals(text)
    })
  }

  it('is an error for any thrown value', () => {
    const error = new Error('e')
    assume(asError(error)).equals(error)
    assume(asError('text').message).equals('text')
    assume(asError(Object.create(null)).message).equals('an object (Object)')
    assume(asError(revoked()).message).equals('an object that cannot be read')
  })
})
