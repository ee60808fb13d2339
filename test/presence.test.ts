import { createClient, type Client, type Metroplex, type MetroplexOptions, type WatchHandlers } from '../index'
import { assume } from './support/assume'
import { using } from './support/dispose'
import { watchCommands } from './support/monitor'
import { sharedRedis } from './support/shared-redis'
import { createRegistered, type Registered } from './support/registered'
import { rejection } from './support/rejection'
import { eventually } from './support/wait'

type Own = NonNullable<MetroplexOptions['metroplex']>

/** What a handler was told. */
interface Told {
  readonly event: string
  readonly name: string
  readonly at: number
  readonly since?: number
}

/** Longer than any test takes. */
const LONG = 600_000

/** A spark without a socket. */
function spark(id: string): Parameters<Metroplex['connect']>[0] {
  return { id, write: () => true, end: () => undefined }
}

/** Handlers that note what they are told. */
function noting(told: Told[]): Required<WatchHandlers> {
  const note =
    (event: string) =>
    (name: string, details: { at: number; since?: number }): void => {
      told.push({ event, name, ...details })
    }
  return { online: note('online'), offline: note('offline'), occupied: note('occupied'), vacated: note('vacated') }
}

/** The events, without their numbers. */
function plain(told: readonly Told[]): string[] {
  return told.map(({ event, name }) => `${event} ${name}`)
}

describe('presence', () => {
  const shared = sharedRedis()

  const start = (own: Own = {}): Promise<Registered> =>
    createRegistered({
      redis: { url: shared.redis.url, namespace: shared.space },
      primus: { metroplex: { timeout: 1000, ...own } }
    })

  const pair = async (own: Own = {}): Promise<[Registered, Registered]> => [await start(own), await start(own)]

  const outside = (own: Own = {}): Client => {
    const made = createClient({
      redis: shared.redis.client(),
      namespace: shared.space,
      metroplex: { timeout: 1000, ...own }
    })
    using(() => made.close())
    return made
  }

  /** A spark of a user on a server; resolves when the registry has it. */
  const come = async ({ metroplex }: Registered, id: string, user: string): Promise<void> => {
    metroplex.connect(spark(id))
    await metroplex.identify(id, user)
  }

  /** Until nothing is left to tell. */
  const silence = (): Promise<unknown> =>
    eventually(async () => {
      const client = shared.redis.client()
      const keys = (await client.keys(`${shared.space}*`)).filter(key => /:(leaving|untold)$/.test(key))
      return keys.length === 0
    })

  it('refuses a grace that is no whole number of milliseconds, as a server and as a client', () => {
    for (const [grace, kind] of [
      ['10', TypeError],
      [null, TypeError],
      [-1, RangeError],
      [1.5, RangeError],
      [NaN, RangeError],
      [2 ** 31, RangeError]
    ] as const) {
      const options = { redis: shared.redis.client(), namespace: shared.space, metroplex: { grace: grace as number } }
      let thrown: unknown
      try {
        createClient(options)
      } catch (error) {
        thrown = error
      }
      assume(thrown).instanceOf(kind)
      assume((thrown as Error).message).matches(
        /`metroplex\.grace` must be a whole number of milliseconds, from 0 to 2147483647; given: /
      )
    }
  })

  it('refuses handlers that are none, in a sentence, and tells nothing then', async () => {
    const a = await start({ grace: 0 })
    for (const [given, said] of [
      [undefined, /online, offline, occupied, vacated; given: undefined\./],
      [null, /given: null\./],
      ['online', /given: 'online'\./],
      [{}, /given: an object with none of them\./],
      [{ onlin: () => undefined }, /given: an object with `onlin`\./],
      [{ online: 7 }, /given: 7 as `online`\./],
      [{ online: undefined }, /none of them/]
    ] as const) {
      assume(() => a.metroplex.watch(given as WatchHandlers)).throws(TypeError)
      assume(() => a.metroplex.watch(given as WatchHandlers)).throws(said)
    }
    await come(a, 'one', 'ann')
    assume(await shared.redis.client().exists(`${shared.space}:teller`)).equals(0)
  })

  it('needs the option for watch, and names it', async () => {
    const a = await start()
    assume(() => a.metroplex.watch({ online: () => undefined })).throws(/needs the option `metroplex\.grace`/)
  })

  it('refuses names that are none, before Redis is asked', async () => {
    const a = await start({ grace: 0 })
    for (const [given, kind] of [
      ['', TypeError],
      [null, TypeError],
      [['ann', {}], TypeError],
      ['x'.repeat(1025), RangeError]
    ] as const)
      assume(await rejection(a.metroplex.present(given as string))).instanceOf(kind)
  })

  it('costs nothing in Redis without the option', async () => {
    const a = await start()
    const commands: string[][] = []
    const unwatch = await watchCommands(shared.redis, command => commands.push(command))
    await come(a, 'one', 'ann')
    await a.metroplex.join('one', 'news')
    a.metroplex.disconnect(spark('one'))
    await eventually(
      async () => (await shared.redis.client().exists(`${shared.space}:user:ann`, `${shared.space}:group:news`)) === 0
    )
    const keys = await shared.redis.client().keys(`${shared.space}:*`)
    assume(keys.filter(key => /:(leaving|untold|marks|teller)$/.test(key))).eql([])
    unwatch()
    assume(commands.filter(command => /:(leaving|untold|marks|teller)/.test(command.join(' ')))).eql([])
  })

  for (const shards of [1, 3]) {
    describe(`in ${shards === 1 ? '1 registry' : `${shards} registries`}`, () => {
      it('says who is there, who is leaving and who is not, from any server and from outside', async () => {
        const own = { grace: LONG, shards }
        const [a, b] = await pair(own)
        await come(a, 'one', 'ann')
        await come(b, 'two', 'ann')
        await come(b, 'three', 'bob')
        const client = outside(own)
        const wanted = [
          { user: 'bob', state: 'online', sparks: 1 },
          { user: 'cid', state: 'offline', sparks: 0 },
          { user: 'ann', state: 'online', sparks: 2 }
        ]
        for (const asked of [a.metroplex, b.metroplex, client])
          await eventually(async () => {
            assume(await asked.present(['bob', 'cid', 'ann'])).eql(wanted)
            return true
          })
        b.metroplex.disconnect(spark('three'))
        b.metroplex.disconnect(spark('two'))
        for (const asked of [a.metroplex, b.metroplex, client]) {
          await eventually(async () => {
            const states = (await asked.present(['ann', 'bob'])).map(({ state, sparks }) => [state, sparks])
            assume(states).eql([
              ['online', 1],
              ['leaving', 0]
            ])
            return true
          })
        }
        assume(await client.present([])).eql([])
      })

      it('tells of the first spark and of the last one, once in the cluster, in numbers that grow', async () => {
        const own = { grace: 50, shards }
        const [a, b] = await pair(own)
        const told: Told[] = []
        for (const { metroplex } of [a, b]) metroplex.watch(noting(told))
        const began = Date.now()
        await come(a, 'one', 'ann')
        await eventually(() => told.length === 1)
        await come(b, 'two', 'ann')
        a.metroplex.disconnect(spark('one'))
        await eventually(async () => (await b.metroplex.present('ann'))[0]?.sparks === 1)
        assume(plain(told)).eql(['online ann'])
        b.metroplex.disconnect(spark('two'))
        await eventually(() => told.length === 2)
        await come(b, 'three', 'ann')
        await eventually(() => told.length === 3)
        assume(plain(told)).eql(['online ann', 'offline ann', 'online ann'])
        const ats = told.map(({ at }) => at)
        assume([...ats].sort((x, y) => x - y)).eql(ats)
        assume(new Set(ats).size).equals(3)
        assume(Math.abs((told[1]?.since ?? 0) - began)).is.below(60_000)
        assume(told.map(({ since }) => since === undefined)).eql([true, false, true])
        await silence()
      })

      it('tells of groups in the same way', async () => {
        const own = { grace: 50, shards }
        const [a, b] = await pair(own)
        const told: Told[] = []
        b.metroplex.watch(noting(told))
        a.metroplex.connect(spark('one'))
        b.metroplex.connect(spark('two'))
        await a.metroplex.join('one', ['x', 'y'])
        await b.metroplex.join('two', 'x')
        await eventually(() => told.length === 2)
        assume(plain(told).sort()).eql(['occupied x', 'occupied y'])
        await a.metroplex.leave('one')
        await eventually(() => told.length === 3)
        assume(plain(told)[2]).equals('vacated y')
        b.metroplex.disconnect(spark('two'))
        await eventually(() => told.length === 4)
        assume(plain(told)[3]).equals('vacated x')
        await silence()
      })
    })
  }

  it('tells nothing of a return within the grace, on whichever server', async () => {
    const [a, b] = await pair({ grace: LONG })
    const told: Told[] = []
    for (const { metroplex } of [a, b]) metroplex.watch(noting(told))
    await come(a, 'last', 'witness')
    let from = a
    await come(from, 'spark-0', 'ann')
    for (let i = 1; i <= 20; i++) {
      from.metroplex.disconnect(spark(`spark-${i - 1}`))
      await eventually(async () => (await a.metroplex.present('ann'))[0]?.state === 'leaving')
      from = from === a ? b : a
      await come(from, `spark-${i}`, 'ann')
    }
    await eventually(() => told.length === 2)
    await eventually(
      async () => (await shared.redis.client().exists(`${shared.space}:untold`, `${shared.space}:leaving`)) === 0
    )
    assume(plain(told).sort()).eql(['online ann', 'online witness'])
  })

  it('tells of sparks of servers that do not watch, and to a client of the cluster', async () => {
    const own = { grace: 50 }
    const a = await start(own)
    const told: Told[] = []
    outside(own).watch(noting(told))
    await come(a, 'one', 'ann')
    await eventually(() => told.length === 1)
    a.metroplex.disconnect(spark('one'))
    await eventually(() => told.length === 2)
    assume(plain(told)).eql(['online ann', 'offline ann'])
    await silence()
  })

  it('tells of a user who has another name, and of one who logs out', async () => {
    const a = await start({ grace: 0 })
    const told: Told[] = []
    a.metroplex.watch(noting(told))
    await come(a, 'one', 'ann')
    await eventually(() => told.length === 1)
    await a.metroplex.identify('one', 'Ann of\nElsewhere')
    await eventually(() => told.length === 3)
    await a.metroplex.identify('one', null)
    await eventually(() => told.length === 4)
    assume(plain(told).sort()).eql([
      'offline Ann of\nElsewhere',
      'offline ann',
      'online Ann of\nElsewhere',
      'online ann'
    ])
    await silence()
  })

  it('tells once again what a handler has failed, with the same number, and says so', async () => {
    const a = await start({ grace: 0, timeout: 500 })
    const errors: unknown[] = []
    a.metroplex.on('error', error => errors.push(error))
    const ats: number[] = []
    a.metroplex.watch({
      async online(_user, { at }) {
        ats.push(at)
        await Promise.resolve()
        if (ats.length === 1) throw new Error('The database is away.')
      }
    })
    await come(a, 'one', 'ann')
    await eventually(() => ats.length === 2, { within: 10_000 })
    assume(ats[0]).equals(ats[1])
    await silence()
    const said = errors.filter(error => (error as { code?: string }).code === 'EWATCH') as Error[]
    assume(said.length).equals(1)
    assume(said[0]?.message).matches(/`online` of `watch` has failed, and is called again: The database is away\./)
  })

  it('tells another server what a handler has failed, or has not settled', async () => {
    const own = { grace: 0, timeout: 500 }
    const a = await start(own)
    const ats: number[] = []
    a.metroplex.watch({
      online: (user, { at }) => {
        ats.push(at)
        if (user === 'thrower') throw new Error('No.')
        return new Promise(() => undefined)
      }
    })
    await come(a, 'one', 'thrower')
    await come(a, 'two', 'hanger')
    await eventually(() => ats.length === 2)
    const b = await start(own)
    const told: Told[] = []
    b.metroplex.watch(noting(told))
    await eventually(() => told.length === 2, { within: 15_000 })
    assume(told.map(({ at }) => at).sort()).eql([...new Set(ats)].sort())
    await eventually(async () => (await shared.redis.client().exists(`${shared.space}:untold`)) === 0)
  })

  it('goes on beside a handler that never settles', async () => {
    const a = await start({ grace: 0, timeout: 60_000 })
    const told: string[] = []
    a.metroplex.watch({
      online(user) {
        told.push(user)
        return user === 'hanger' ? new Promise(() => undefined) : undefined
      }
    })
    await come(a, 'one', 'hanger')
    await come(a, 'two', 'ann')
    await eventually(() => told.includes('ann'))
    await eventually(async () => (await shared.redis.client().zcard(`${shared.space}:untold`)) === 1)
  })

  it('tells nothing after its end, and leaves it to others', async () => {
    const own = { grace: 0 }
    const [a, b] = await pair(own)
    const [ofA, ofB]: [Told[], Told[]] = [[], []]
    const stop = a.metroplex.watch(noting(ofA))
    await come(a, 'one', 'ann')
    await eventually(() => ofA.length === 1)
    stop()
    stop()
    b.metroplex.watch(noting(ofB))
    await come(a, 'two', 'bob')
    await eventually(() => ofB.length === 1)
    assume(plain(ofA)).eql(['online ann'])
    assume(plain(ofB)).eql(['online bob'])
  })

  it('calls methods of an object of a class, on it', async () => {
    const a = await start({ grace: 0 })
    class Seats {
      readonly taken: string[] = []
      online(user: string): void {
        this.taken.push(user)
      }
    }
    const seats = new Seats()
    a.metroplex.watch(seats)
    await come(a, 'one', 'ann')
    await eventually(() => seats.taken.length === 1)
  })

  it('tells of many at once, each once', async () => {
    const own = { grace: 0, timeout: 20_000 }
    const a = await start(own)
    const told: Told[] = []
    a.metroplex.watch(noting(told))
    const count = 2000
    const ids = Array.from({ length: count }, (_, i) => `spark-${i}`)
    for (const id of ids) a.metroplex.connect(spark(id))
    await Promise.all(ids.map((id, i) => a.metroplex.identify(id, `user-${i}`)))
    await eventually(() => told.length === count, { within: 10_000 })
    for (const id of ids) a.metroplex.disconnect(spark(id))
    await eventually(() => told.length === 2 * count, { within: 30_000 })
    await silence()
    assume(new Set(plain(told)).size).equals(2 * count)
    assume(new Set(told.map(({ at }) => at)).size).equals(2 * count)
  })
})
