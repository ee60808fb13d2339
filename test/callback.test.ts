import { settle } from '../lib/callback'
import { pause, within } from '../lib/deadline'
import { asError, shown } from '../lib/errors'
import { assume } from './support/assume'
import { rejection } from './support/rejection'

describe('both calling styles', () => {
  it('hand out the promise without a callback', async () => {
    assume(await settle(Promise.resolve(1), undefined, 'self')).equals(1)
  })

  it('return the object for chaining with one', done => {
    assume(settle(Promise.resolve(1), (error, value) => {
      assume(error).equals(null)
      assume(value).equals(1)
      done()
    }, 'self')).equals('self')
  })

  it('call back with the error', done => {
    settle(Promise.reject(new Error('no')), error => {
      assume(error?.message).equals('no')
      done()
    }, null)
  })

  it('take null for no callback, and refuse at once what can be none', async () => {
    assume(await settle(Promise.resolve(1), null as unknown as undefined, 'self')).equals(1)
    assume(() => settle(Promise.reject(new Error('no')), 42 as never, 'self')).throws(/a callback must be a function; given: 42/)
  })

  it('leave no unhandled rejection when nobody awaits, and still throw for who does', async () => {
    const promise = settle(Promise.reject(new Error('no')), undefined, null) as Promise<never>
    await pause(1)
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
    settle(Promise.resolve(), () => { throw new Error('thrown by the user') }, null)
  })
})

describe('a deadline', () => {
  it('rejects with the error it is given', async () => {
    assume((await rejection(within(new Promise(() => undefined), 5, () => new Error('late')))).message).equals('late')
  })

  it('lets what is in time through', async () => {
    assume(await within(Promise.resolve('in time'), 1000, () => new Error('late'))).equals('in time')
  })

  it('ends a pause early when it is aborted', async () => {
    const abort = new AbortController()
    const paused = pause(60_000, abort.signal)
    abort.abort()
    await paused
    await pause(60_000, abort.signal)
  })
})

describe('what an error shows of a value', () => {
  for (const [value, text] of [
    ['a', "'a'"], ['x'.repeat(100), `'${'x'.repeat(60)}…'`], [[1, 2], 'an array of 2'], [{}, 'an object (Object)'],
    [Object.create(null), 'an object (Object)'], [null, 'null'], [undefined, 'undefined'], [Symbol('s'), 'Symbol(s)'],
    [class Foo { foo = 1 }, 'function Foo'], [() => undefined, 'function (anonymous)'], [10n, '10']
  ] as [unknown, string][]) {
    it(`is ${text.slice(0, 20)}`, () => {
      assume(shown(value)).equals(text)
    })
  }

  it('makes an error of whatever is thrown', () => {
    const error = new Error('e')
    assume(asError(error)).equals(error)
    assume(asError('text').message).equals('text')
  })
})
