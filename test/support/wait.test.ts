import { EventEmitter } from 'node:events'
import { assume } from './assume'
import { rejection } from './rejection'
import { deadline, elapsed, eventually, once } from './wait'

describe('support: waiting', () => {
  describe('eventually', () => {
    it('resolves with the first truthy value of its check', async () => {
      let calls = 0
      assume(await eventually(() => ++calls === 3 && 'third')).equals('third')
      assume(calls).equals(3)
    })

    it('rejects at its deadline with what it waited for and what it saw last', async () => {
      const error = await rejection(eventually(() => 0, { within: 20, what: 'a number' }))
      assume(error.message).equals('a number did not come about within 20 ms, last seen: 0')
    })

    it('goes on after a check that throws, and tells the last error', async () => {
      let calls = 0
      const error = await rejection(
        eventually(
          () => {
            throw new Error(`try ${++calls}`)
          },
          { within: 30 }
        )
      )
      assume(calls).is.above(1)
      assume(error.message).includes(`last seen: try ${calls}`)
    })

    it('gives a check that never answers up at the deadline', async () => {
      const { ms } = await elapsed(() => rejection(eventually(() => new Promise(() => undefined), { within: 30 })))
      assume(ms).is.below(1000)
    })
  })

  describe('once', () => {
    it('resolves with the arguments of the event which the filter lets through', async () => {
      const emitter = new EventEmitter()
      const waiting = once(emitter, 'word', { filter: word => word !== 'no' })
      emitter.emit('word', 'no')
      emitter.emit('word', 'yes', 2)
      assume(await waiting).deep.equals(['yes', 2])
    })

    it('rejects at its deadline, naming the event, and no longer listens', async () => {
      const emitter = new EventEmitter()
      const error = await rejection(once(emitter, 'godot', { within: 10 }))
      assume(error.message).includes(`'godot'`)
      assume(emitter.listenerCount('godot')).equals(0)
    })

    it('rejects with what its filter throws', async () => {
      const emitter = new EventEmitter()
      const waiting = once(emitter, 'word', {
        filter: () => {
          throw new Error('bad filter')
        }
      })
      emitter.emit('word')
      assume((await rejection(waiting)).message).equals('bad filter')
    })
  })

  describe('deadline', () => {
    it('passes on what comes in time', async () => {
      assume(await deadline(Promise.resolve(7), 1000, 'seven')).equals(7)
    })

    it('rejects naming what did not come', async () => {
      const error = await rejection(deadline(new Promise(() => undefined), 10, 'seven'))
      assume(error.message).equals('seven did not come within 10 ms')
    })
  })

  it('elapsed tells how long a promise took and its value', async () => {
    const { ms, value } = await elapsed(async () => {
      await rejection(deadline(new Promise(() => undefined), 30, 'it'))
      return 'v'
    })
    assume(value).equals('v')
    assume(ms).is.above(25)
  })
})
