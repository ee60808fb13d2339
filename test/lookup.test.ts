import { setImmediate as turn } from 'node:timers/promises'
import fc from 'fast-check'
import { now } from '../lib/common/async'
import { Texts } from '../lib/registry/decoding'
import { taggedIds } from '../lib/lookup/id-tags'
import { BigMap, PARTS, partOf } from '../lib/sync/maps/big-map'
import { LookupBatcher } from '../lib/lookup/lookup-batcher'
import { LocationCache } from '../lib/lookup/location-cache'
import { SharedReads } from '../lib/lookup/shared-reads'
import { assume } from './support/assume'
import { rejection } from './support/rejection'

const ids = (count: number, name = 's'): string[] => Array.from({ length: count }, (_, i) => `${name}${i}`)

/** Answers, when it is told to, that everything is at its own name. */
class Answerer {
  readonly asked: string[][] = []
  readonly lookup: LookupBatcher<string>
  readonly #answers: (() => void)[] = []

  constructor(failure?: Error) {
    this.lookup = new LookupBatcher(
      ids =>
        new Promise((resolve, reject) => {
          this.asked.push([...ids])
          this.#answers.push(() => {
            if (failure === undefined) resolve(ids.map(id => `at ${id}`))
            else reject(failure)
          })
        })
    )
  }

  /** What was asked first is answered. */
  async answer(): Promise<void> {
    this.#answers.shift()?.()
    await turn()
  }

  get sizes(): number[] {
    return this.asked.map(({ length }) => length)
  }
}

describe('questions where sparks are', () => {
  it('travel together when they are asked in one turn, and are answered each with its own', async () => {
    const answerer = new Answerer()
    const told: unknown[] = []
    for (const id of ids(20))
      answerer.lookup.place(id, (error, place) => {
        told.push([error, place])
      })
    await turn()
    assume(answerer.asked).eql([ids(20)])
    await answerer.answer()
    assume(told).eql(ids(20).map(id => [null, `at ${id}`]))
  })

  it('leave in two halves when nothing is under way, and whole when something is', async () => {
    const answerer = new Answerer()
    const again = (id: string): void => {
      answerer.lookup.place(id, () => {
        again(id)
      })
    }
    for (const id of ids(64)) again(id)
    await turn()
    for (let i = 0; i < 4; i++) await answerer.answer()
    assume(answerer.sizes).eql([32, 32, 32, 32, 32, 32])
  })

  it('are never more than a thousand in one round trip', async () => {
    const answerer = new Answerer()
    for (const id of ids(2500)) answerer.lookup.place(id, () => undefined)
    const many = answerer.lookup.places(ids(2500))
    await turn()
    while (answerer.asked.length > 0 && (await Promise.race([many, turn(undefined)])) === undefined)
      await answerer.answer()
    assume(answerer.sizes).eql([1000, 1000, 500, 1000, 1000, 500])
    assume(await many).eql(ids(2500).map(id => `at ${id}`))
  })

  it('all fail when their round trip does', async () => {
    const answerer = new Answerer(new Error('Redis is away.'))
    const told: unknown[] = []
    for (const id of ids(3))
      answerer.lookup.place(id, (error, place) => {
        told.push([error?.message, place])
      })
    await turn()
    await answerer.answer()
    assume(told).eql(ids(3).map(() => ['Redis is away.', null]))
  })
})

describe('places that are remembered', () => {
  it('are used for as long as they are fresh', () => {
    const places = new LocationCache()
    places.note('x', 'http://a', now() - 1000)
    assume(places.last('x', 900)).equals(undefined)
    assume(places.last('x', 60_000)?.address).equals('http://a')
    places.note('x', 'http://b', now())
    assume(places.last('x', 900)?.address).equals('http://b')
    places.note('x', null, now())
    assume(places.last('x', 60_000)).equals(undefined)
  })

  it('are the last fifty thousand at least, and twice as many at the most', () => {
    const places = new LocationCache()
    const many = ids(170_000)
    many.forEach((id, i) => {
      places.note(id, 'http://a', now())
      if (places.size > 100_000) throw new Error(`${places.size} after ${i}`)
    })
    assume(many.slice(-50_000).every(id => places.last(id, 60_000)?.address === 'http://a')).equals(true)
    assume(places.last('s0', 60_000)).equals(undefined)
  })

  it('are forgotten with their server', () => {
    const places = new LocationCache()
    for (const id of ids(60_000)) places.note(id, 'http://a', now())
    places.note('x', 'http://b', now())
    places.forget('http://a')
    assume(places.size).equals(1)
    assume(places.last('x', 60_000)?.address).equals('http://b')
  })
})

describe('a large map', () => {
  it('does what a map does', () => {
    const step = fc.tuple(
      fc.constantFrom('set', 'delete'),
      fc.oneof(fc.string({ maxLength: 3, unit: 'grapheme' }), fc.constantFrom('a', 'b', '')),
      fc.integer()
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 100 }), steps => {
        const [large, plain] = [new BigMap<number>(), new Map<string, number>()]
        for (const [what, key, value] of steps) {
          if (what === 'set') {
            large.set(key, value)
            plain.set(key, value)
          } else {
            assume(large.delete(key)).equals(plain.delete(key))
          }
          assume(large.size).equals(plain.size)
          assume(large.has(key)).equals(plain.has(key))
          assume(large.get(key)).equals(plain.get(key))
        }
        assume([...large.keys()].sort()).eql([...plain.keys()].sort())
        assume(new Map(large)).eql(new Map([...large.keys()].map(key => [key, plain.get(key)])))
        large.clear()
        assume([large.size, ...large.keys()]).eql([0])
      })
    )
  })

  const tagged = taggedIds('server')
  for (const [what, keys] of [
    ['end in the tag of their server', Array.from({ length: 64_000 }, () => tagged())],
    ['are counted', ids(64_000, 'user-')]
  ] as const) {
    it(`spreads ids that ${what} over all of its parts`, () => {
      const parts = new Array<number>(PARTS).fill(0)
      for (const key of keys) parts[partOf(key)] = (parts[partOf(key)] ?? 0) + 1
      assume(Math.max(...parts)).is.below(3000)
    })
  }
})

describe('bytes that are mostly the same few texts', () => {
  it('are always the text that they are', () => {
    const texts = new Texts()
    fc.assert(
      fc.property(
        fc.array(
          fc.oneof(
            fc.string({ maxLength: 4, unit: 'grapheme' }),
            fc.constantFrom('http://a:1', 'http://b:1', 'http://b:11')
          )
        ),
        given => {
          for (const text of given) assume(texts.of(Buffer.from(text))).equals(text)
        }
      )
    )
  })
})

describe('shared reads', () => {
  /** A read that ends when it is told to. */
  const open = (): { reads: SharedReads<string>; asked: string[][]; answer: (failure?: Error) => Promise<void> } => {
    const asked: string[][] = []
    const waiting: ((failure?: Error) => void)[] = []
    const reads = new SharedReads<string>(
      keys =>
        new Promise((resolve, reject) => {
          asked.push([...keys])
          const nth = asked.length
          waiting.push(failure => {
            if (failure === undefined) resolve(keys.map(key => `${key} by ${nth}`))
            else reject(failure)
          })
        })
    )
    const answer = async (failure?: Error): Promise<void> => {
      waiting.shift()?.(failure)
      await turn()
    }
    return { reads, asked, answer }
  }

  it('are one for all calls of a turn, and one further for all calls that come meanwhile', async () => {
    const { reads, asked, answer } = open()
    const early = Promise.all([reads.of(['a', 'b']), reads.of(['b', 'c'])])
    await turn()
    const late = Promise.all([reads.of(['a']), reads.of(['d', 'a'])])
    await turn()
    assume(asked).eql([['a', 'b', 'c']])
    await answer()
    assume(await early).eql([
      ['a by 1', 'b by 1'],
      ['b by 1', 'c by 1']
    ])
    assume(asked).eql([
      ['a', 'b', 'c'],
      ['a', 'd']
    ])
    await answer()
    // What was read before a call is no answer to it.
    assume(await late).eql([['a by 2'], ['d by 2', 'a by 2']])
  })

  it('fail alone: the next read goes on', async () => {
    const { reads, answer } = open()
    const failing = rejection(reads.of(['a']))
    await turn()
    const next = reads.of(['a'])
    await answer(new Error('lost'))
    assume((await failing).message).equals('lost')
    await answer()
    assume(await next).eql(['a by 2'])
  })
})
