import { setImmediate as turn } from 'node:timers/promises'
import fc from 'fast-check'
import { now } from '../lib/deadline'
import { Texts } from '../lib/registry/answers'
import { BigMap } from '../lib/registry/big-map'
import { Lookup } from '../lib/registry/lookup'
import { Places } from '../lib/registry/places'
import { assume } from './support/assume'

const ids = (count: number, name = 's'): string[] => Array.from({ length: count }, (_, i) => `${name}${i}`)

/** Answers, when it is told to, that everything is at its own name. */
class Answerer {
  readonly asked: string[][] = []
  readonly lookup: Lookup<string>
  readonly #answers: (() => void)[] = []

  constructor(failure?: Error) {
    this.lookup = new Lookup(ids => new Promise((resolve, reject) => {
      this.asked.push([...ids])
      this.#answers.push(() => {
        if (failure === undefined) resolve(ids.map(id => `at ${id}`))
        else reject(failure)
      })
    }))
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
    for (const id of ids(20)) answerer.lookup.place(id, (error, place) => { told.push([error, place]) })
    await turn()
    assume(answerer.asked).eql([ids(20)])
    await answerer.answer()
    assume(told).eql(ids(20).map(id => [null, `at ${id}`]))
  })

  it('leave in two halves when nothing is under way, and whole when something is', async () => {
    const answerer = new Answerer()
    const again = (id: string): void => { answerer.lookup.place(id, () => { again(id) }) }
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
    while (answerer.asked.length > 0 && (await Promise.race([many, turn(undefined)])) === undefined) await answerer.answer()
    assume(answerer.sizes).eql([1000, 1000, 500, 1000, 1000, 500])
    assume(await many).eql(ids(2500).map(id => `at ${id}`))
  })

  it('all fail when their round trip does', async () => {
    const answerer = new Answerer(new Error('Redis is away.'))
    const told: unknown[] = []
    for (const id of ids(3)) answerer.lookup.place(id, (error, place) => { told.push([error?.message, place]) })
    await turn()
    await answerer.answer()
    assume(told).eql(ids(3).map(() => ['Redis is away.', null]))
  })
})

describe('places that are remembered', () => {
  it('are told for as long as they are young', () => {
    const places = new Places()
    places.note('x', 'http://a', now() - 1000)
    assume(places.last('x', 900)).equals(undefined)
    assume(places.last('x', 60_000)?.address).equals('http://a')
    places.note('x', 'http://b', now())
    assume(places.last('x', 900)?.address).equals('http://b')
    places.note('x', null, now())
    assume(places.last('x', 60_000)).equals(undefined)
  })

  it('are the last fifty thousand at least, and twice as many at the most', () => {
    const places = new Places()
    const many = ids(170_000)
    many.forEach((id, i) => {
      places.note(id, 'http://a', now())
      if (places.size > 100_000) throw new Error(`${places.size} after ${i}`)
    })
    assume(many.slice(-50_000).every(id => places.last(id, 60_000)?.address === 'http://a')).equals(true)
    assume(places.last('s0', 60_000)).equals(undefined)
  })

  it('are forgotten with their server', () => {
    const places = new Places()
    for (const id of ids(60_000)) places.note(id, 'http://a', now())
    places.note('x', 'http://b', now())
    places.forget('http://a')
    assume(places.size).equals(1)
    assume(places.last('x', 60_000)?.address).equals('http://b')
  })
})

describe('a large map', () => {
  it('does what a map does', () => {
    const step = fc.tuple(fc.constantFrom('set', 'delete'), fc.oneof(fc.string({ maxLength: 3, unit: 'grapheme' }), fc.constantFrom('a', 'b', '')), fc.integer())
    fc.assert(fc.property(fc.array(step, { maxLength: 100 }), steps => {
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
    }))
  })
})

describe('bytes that are mostly the same few texts', () => {
  it('are always the text that they are', () => {
    const texts = new Texts()
    fc.assert(fc.property(fc.array(fc.oneof(fc.string({ maxLength: 4, unit: 'grapheme' }), fc.constantFrom('http://a:1', 'http://b:1', 'http://b:11'))), given => {
      for (const text of given) assume(texts.of(Buffer.from(text))).equals(text)
    }))
  })
})
