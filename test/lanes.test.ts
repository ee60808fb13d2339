import { setImmediate as turn } from 'node:timers/promises'
import fc from 'fast-check'
import type { PeerSender, Delivered, Recipients } from '../lib/common/peer-sender'
import { now } from '../lib/common/async'
import { follows, openLane } from '../lib/delivery/lane'
import { Lanes } from '../lib/delivery/lanes'
import { FRESH } from '../lib/lookup/location-cache'
import { LocalDelivery } from '../lib/delivery/local'
import { ResultBuilder } from '../lib/delivery/result-builder'
import { MetroplexError } from '../lib/common/errors'
import { Message } from '../lib/common/encoded-message'
import type { Spark } from '../lib/common/types'
import { assume } from './support/assume'

const SELF = 'http://self'
const SERVERS = [SELF, 'http://a', 'http://b']
const room = { messages: 1000, bytes: 1_000_000 }

/** A cluster in which everything takes as many turns of the event loop as it is told to. */
class World {
  /** Where each spark really is. */
  readonly places = new Map<string, string>()
  /** What each spark got, in its order. */
  readonly got = new Map<string, string[]>()
  /** What the registry says; it may be late. */
  readonly registry = new Map<string, string>()
  /** What it said lately. */
  readonly recent = new Map<string, string | undefined>()
  remembering = false
  readonly lanes: Lanes
  readonly local: LocalDelivery
  /** The last thing that is under way to each server: one queue each. */
  readonly #queues = new Map<string, Promise<unknown>>()
  lookups = 0
  /** Redis cannot be asked: only what is remembered is told. */
  away = false

  constructor(
    private readonly pauses: () => number,
    private readonly failing: () => boolean = () => false
  ) {
    const connected = (id: string): Spark | undefined =>
      this.places.get(id) === SELF
        ? { id, readyState: 1, write: data => this.take(id, data), end: () => undefined }
        : undefined
    const primus = {
      Spark: { CLOSED: 2 },
      transformers: { outgoing: [() => undefined] },
      options: {},
      forEach: () => undefined
    }
    this.local = new LocalDelivery(primus, connected, { maxBuffered: 0, ended: () => undefined })
    const courier: PeerSender = { send: (address, message, recipients) => this.#carry(address, message, recipients) }
    this.lanes = new Lanes(
      this.local,
      courier,
      {
        self: SELF,
        recent: id => (this.places.get(id) === SELF ? undefined : this.recent.get(id)),
        places: async (ids, fresh) => {
          this.lookups++
          if (fresh && this.away) throw new MetroplexError('EREGISTRY', 'Redis is away.')
          await this.#pause()
          const found = ids.map(id => this.registry.get(id) ?? null)
          await this.#pause()
          ids.forEach((id, i) => {
            this.recent.set(id, this.remembering ? (found[i] ?? undefined) : undefined)
          })
          return found
        }
      },
      room
    )
  }

  move(id: string, to: string, told = true): void {
    this.places.set(id, to)
    if (told) this.registry.set(id, to)
  }

  take(id: string, data: unknown): boolean {
    if (this.places.get(id) === SELF) this.transform()
    const got = this.got.get(id) ?? []
    this.got.set(id, got)
    got.push(String(data))
    return true
  }

  /** What the application does to what is written here. */
  transform: () => void = () => undefined

  /** As a forwarder does it. */
  async send(ids: readonly string[], text: string): Promise<ResultBuilder> {
    const message = Message.of(text, false)
    const busy = ids.filter(id => this.lanes.busy(id))
    const { send, missing } = this.local.some(
      ids.filter(id => !busy.includes(id)),
      message
    )
    const sum = new ResultBuilder(5000, send)
    const others = [...missing, ...busy]
    if (others.length > 0) await this.lanes.send(message, others, sum)
    return sum
  }

  async #pause(): Promise<void> {
    for (let i = this.pauses(); i > 0; i--) await turn()
  }

  #carry(address: string, message: Message, { sparks = [] }: Recipients): Promise<Delivered> {
    const before = this.#queues.get(address) ?? Promise.resolve()
    const carried = before.then(async () => {
      await this.#pause()
      if (this.failing()) throw new MetroplexError('EUNREACHABLE', 'It failed.', { address, maybe: false })
      const here = sparks.filter(id => this.places.get(id) === address)
      for (const id of here) this.take(id, message.value)
      return { here, missing: sparks.filter(id => !here.includes(id)) }
    })
    this.#queues.set(
      address,
      carried.catch(() => undefined)
    )
    return carried.then(async ({ here, missing }) => {
      await this.#pause()
      return { send: here.length, missing }
    })
  }
}

/** Numbers that come to an end, and are 0 then. */
function supply(numbers: readonly number[]): () => number {
  const left = [...numbers]
  return () => left.shift() ?? 0
}

const ascending = (texts: readonly string[]): boolean =>
  texts.every((text, i) => i === 0 || Number(text) > Number(texts[i - 1]))

describe('messages to sparks elsewhere', () => {
  it('reach each spark in the order of the calls, also while it moves; each arrives or is named', async () => {
    const step = fc.oneof(
      { weight: 4, arbitrary: fc.record({ send: fc.subarray(['x', 'y', 'z'], { minLength: 1 }) }) },
      {
        weight: 2,
        arbitrary: fc.record({
          move: fc.constantFrom('x', 'y', 'z'),
          to: fc.constantFrom(...SERVERS),
          told: fc.boolean()
        })
      },
      { weight: 2, arbitrary: fc.record({ turns: fc.integer({ min: 1, max: 4 }) }) }
    )
    const pauses = fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 60 })
    const failures = fc.array(fc.integer({ min: 0, max: 9 }), { maxLength: 30 })
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 40 }),
        pauses,
        failures,
        fc.boolean(),
        async (steps, pauses, failures, remembering) => {
          const failing = supply(failures)
          const world = new World(supply(pauses), () => failing() === 9)
          world.remembering = remembering
          for (const [i, id] of ['x', 'y', 'z'].entries()) world.move(id, SERVERS[i] ?? SELF)
          const sent: { ids: string[]; text: string; sum: Promise<ResultBuilder> }[] = []
          let count = 0
          for (const one of steps) {
            if ('send' in one) {
              const text = String(count++)
              sent.push({ ids: one.send, text, sum: world.send(one.send, text) })
            } else if ('move' in one) world.move(one.move, one.to, one.told)
            else for (let i = 0; i < one.turns; i++) await turn()
          }
          for (const { ids, text, sum } of sent) {
            const { send, missing = [], failed = [] } = (await sum).result(true)
            const delivered = ids.filter(id => world.got.get(id)?.includes(text) === true)
            assume(send).equals(delivered.length)
            const named = [...delivered, ...missing, ...failed.flatMap(({ sparks = [] }) => sparks)]
            assume(named.sort()).eql([...ids].sort())
          }
          for (const [id, texts] of world.got) assume(ascending(texts) ? '' : `${id}: ${texts.join()}`).equals('')
          for (const id of ['x', 'y', 'z']) assume(world.lanes.busy(id)).equals(false)
        }
      ),
      { numRuns: 500 }
    )
  }).timeout(60_000)

  it('are looked up together when they go to many, and once for many messages', async () => {
    const world = new World(() => 1)
    const ids = Array.from({ length: 100 }, (_, i) => `s${i}`)
    for (const id of ids) world.move(id, 'http://a')
    const sums = await Promise.all(['0', '1', '2'].map(text => world.send(ids, text)))
    assume(sums.map(({ send }) => send)).eql([100, 100, 100])
    assume(world.lookups).equals(1)
  })

  it('follow earlier ones without being looked up again, and find a spark that has moved since', async () => {
    const world = new World(() => 1)
    world.remembering = true
    world.move('x', 'http://a')
    for (const text of ['0', '1', '2']) await world.send(['x'], text)
    assume(world.lookups).equals(1)
    world.move('x', 'http://b')
    assume((await world.send(['x'], '3')).result(true)).eql({ ok: true, send: 1 })
    assume(world.lookups).equals(2)
    assume(world.got.get('x')).eql(['0', '1', '2', '3'])
  })

  it('follow earlier ones for half a second, and for longer while their place is known without a lookup', () => {
    const known = new Map([['x', 'http://a']])
    const where = { recent: (id: string): string | undefined => known.get(id) }
    const lane = openLane('x', 'http://a')
    known.delete('x')
    assume(follows(lane, where)).is.true()
    lane.since -= FRESH + 1
    known.set('x', 'http://a')
    assume(follows(lane, where)).is.true()
    assume(now() - lane.since).is.below(FRESH)
    for (const place of ['http://b', undefined]) {
      const old = openLane('x', 'http://a')
      old.since -= FRESH + 1
      if (place === undefined) known.delete('x')
      else known.set('x', place)
      assume(follows(old, where)).is.false()
      assume(old.stopped).is.true()
    }
  })

  it('are looked up once more when the spark is not there, and then missing', async () => {
    const world = new World(() => 0)
    world.registry.set('x', 'http://a')
    const { missing } = (await world.send(['x'], '0')).result(true)
    assume(missing).eql(['x'])
    assume(world.lookups).equals(2)
  })

  it('find a spark that has moved meanwhile', async () => {
    const world = new World(() => 1)
    world.move('x', 'http://a')
    world.move('x', 'http://b', false)
    const sent = world.send(['x'], '0')
    await turn()
    await turn()
    await turn()
    world.registry.set('x', 'http://b')
    assume((await sent).result(true)).eql({ ok: true, send: 1 })
    assume(world.got.get('x')).eql(['0'])
  })

  it('fail one by one when the application throws at sparks that moved here, and delay no other', async () => {
    const world = new World(() => 1)
    world.move('x', 'http://a')
    world.move('x', 'http://b', false)
    world.transform = () => {
      throw new Error('transformer broke')
    }
    const sent = world.send(['x'], '0')
    world.move('x', SELF)
    const { send, failed } = (await sent).result(true)
    assume(send).equals(0)
    assume(failed).eql([
      {
        address: SELF,
        code: 'EREMOTE',
        message: 'A spark of this server could not be written to: transformer broke',
        maybe: true,
        sparks: ['x']
      }
    ])
    assume(world.lanes.busy('x')).equals(false)
  })

  it('use the remembered place while Redis is away, also after a failed one', async () => {
    const failures = supply([1])
    const world = new World(
      () => 2,
      () => failures() === 1
    )
    world.move('x', 'http://a')
    const first = world.send(['x'], '0')
    const second = world.send(['x'], '1')
    assume((await first).result(true).failed?.[0]?.code).equals('EUNREACHABLE')
    world.away = true
    const third = world.send(['x'], '2')
    assume((await second).result(true)).eql({ ok: true, send: 1 })
    assume((await third).result(true)).eql({ ok: true, send: 1 })
    assume(world.got.get('x')).eql(['1', '2'])
  })

  it('are refused when too much is waiting', async () => {
    const world = new World(() => 3)
    world.move('x', 'http://a')
    const sums = await Promise.all(Array.from({ length: room.messages + 1 }, (_, i) => world.send(['x'], String(i))))
    const codes = sums.map(sum => sum.result(true).failed?.[0]?.code)
    assume(codes.filter(code => code === 'EBUSY').length).equals(1)
    assume(world.got.get('x')?.length).equals(room.messages)
  })
})
