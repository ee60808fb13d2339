import fc from 'fast-check'
import type { Redis } from 'ioredis'
import { Members, type MembersEvents } from '../lib/membership/members'
import { Keys } from '../lib/registry/keys'
import { Registry } from '../lib/registry/registry'
import { assume } from './support/assume'
import { calls } from './support/calls'
import { DESCRIPTION, TERMS } from './support/description'
import { using } from './support/dispose'
import { member } from './support/member'
import { namespace } from './support/namespace'
import { startRedis, type RedisProcess } from './support/redis'

const SELF = 'http://self'

/** What happens in a registry, by the verbs that servers use for it, and by the commands of those of 1.x. */
class World {
  readonly registry: Registry
  readonly keys: Keys
  readonly #client: Redis
  #lives = 0

  constructor(redis: RedisProcess) {
    const space = namespace()
    this.keys = new Keys(space)
    this.#client = redis.client()
    this.registry = Registry.open(
      this.#client,
      space,
      { timeout: 5000, name: 'test' },
      { ready: () => undefined, lost: () => undefined, endangered: () => undefined, secured: () => undefined }
    )
    using(() => this.registry.close())
  }

  /** A server starts. What was there loses its place. */
  async join(address: string, tag = ''): Promise<void> {
    const { life } = await this.registry.resident(address)
    const me = { address, life: `life-${++this.#lives}` }
    await this.#client.del(this.keys.lease(address))
    assume((await this.registry.join(me, 0, TERMS, { ...DESCRIPTION, tag }, life, true)).as).equals('joined')
  }

  async leave(address: string): Promise<void> {
    await this.registry.leave({ address, life: (await this.registry.resident(address)).life })
  }

  /** A server dies, and another one finds that out. */
  async die(address: string): Promise<void> {
    await this.beat(SELF)
    await this.#client.del(this.keys.lease(address), this.keys.alive(address))
    const [{ life }, self] = [await this.registry.resident(address), await this.registry.resident(SELF)]
    await this.registry.remains.bury(
      { address, life },
      [],
      { me: { address: SELF, life: self.life }, breaks: 0 },
      TERMS
    )
  }

  /** Nothing is left of a server that has ended. */
  async clean(address: string): Promise<void> {
    await this.registry.remains.tombstone({ address, life: (await this.registry.resident(address)).life })
  }

  /** A beat, which puts back what has gone. */
  async beat(address: string): Promise<void> {
    const { life } = await this.registry.resident(address)
    const { as } = await this.registry.beat({ address, life }, TERMS, 0)
    if (as !== 'ok' && address === SELF) await this.join(SELF)
  }

  /** A server of 1.x starts. */
  async arise(address: string): Promise<void> {
    await this.#client.multi().sadd(this.keys.servers, address).set(this.keys.alive(address), '1').exec()
  }

  /** A server of 1.x goes. */
  async vanish(address: string): Promise<void> {
    const { lease } = await this.registry.resident(address)
    if (lease === '') await this.#client.multi().srem(this.keys.servers, address).del(this.keys.alive(address)).exec()
  }

  async flush(): Promise<void> {
    await this.#client.flushall()
  }

  async forgetLog(): Promise<void> {
    await this.#client.del(this.keys.changes)
  }

  async forgetCounter(): Promise<void> {
    await this.#client.del(this.keys.members)
  }
}

/** Who watches a world, and what it has told since it was asked last. */
class Watch {
  readonly members: Members
  readonly asked: string[] = []
  /** What happens next between Redis's answer and our reading it. */
  meanwhile: (() => void) | undefined
  #told: string[] = []

  /** @param whole whether it always looks at all servers */
  constructor({ registry }: World, whole: boolean) {
    const events: MembersEvents = {
      join: (...args) => this.#told.push(`join ${args.join(' ')}`),
      leave: (address, why, life) => this.#told.push(`leave ${address} ${why} ${life}`),
      replaced: (...args) => this.#told.push(`replaced ${args.join(' ')}`)
    }
    const noted =
      <A extends unknown[], T>(name: string, ask: (...args: A) => Promise<T>) =>
      async (...args: A): Promise<T> => {
        this.asked.push(name)
        const answer = await ask(...args)
        this.meanwhile?.()
        this.meanwhile = undefined
        return answer
      }
    this.members = new Members(
      {
        census: noted('census', known => registry.census(known)),
        changes: noted('changes', since => (whole ? Promise.resolve(null) : registry.changes(since))),
        listed: () => registry.listed(),
        remains: registry.remains
      },
      60_000,
      events
    )
    this.members.take(SELF, [])
  }

  /** What one look tells, in the order of the alphabet. */
  async look({ registry }: World, how: 'beaten' | 'current'): Promise<string[]> {
    this.asked.length = 0
    this.#told = []
    if (how === 'current') {
      await this.members.current()
    } else {
      const { members, servers } = await registry.listed()
      await this.members.beaten(members, servers.size)
    }
    return this.#told.sort()
  }
}

describe('the live set', () => {
  let redis: RedisProcess

  before(async () => {
    redis = await startRedis({ scope: 'suite' })
  })
  after(() => redis.stop())
  afterEach(() => redis.ask(client => client.flushall()))

  /** A world with a few servers, and one who knows them. */
  async function acquainted(whole = false): Promise<{ world: World; watch: Watch }> {
    const world = new World(redis)
    for (const address of [SELF, 'http://a', 'http://b', 'http://c']) await world.join(address)
    const watch = new Watch(world, whole)
    assume(await watch.look(world, 'beaten')).eql([
      'join http://a life-2',
      'join http://b life-3',
      'join http://c life-4'
    ])
    assume(watch.asked).eql(['census'])
    return { world, watch }
  }

  describe('is read from the changed members', () => {
    const cases: Record<string, { does: (world: World) => Promise<unknown>; tells: string[] }> = {
      'one joins': { does: world => world.join('http://d'), tells: ['join http://d life-5'] },
      'one leaves': { does: world => world.leave('http://a'), tells: ['leave http://a shutdown life-2'] },
      'one dies': { does: world => world.die('http://a'), tells: ['leave http://a expired life-2'] },
      'one takes the place of another': {
        does: world => world.join('http://a'),
        tells: ['join http://a life-5', 'leave http://a expired life-2']
      },
      'one comes and goes': {
        does: async world => {
          await world.join('http://d')
          await world.leave('http://d')
        },
        tells: []
      },
      'one is back after it has left': {
        does: async world => {
          await world.leave('http://a')
          await world.join('http://a')
        },
        tells: ['join http://a life-5', 'leave http://a shutdown life-2']
      },
      'as many change as are remembered': {
        does: async world => {
          for (let i = 0; i < 256; i++) await world.join('http://a')
        },
        tells: ['join http://a life-260', 'leave http://a expired life-2']
      }
    }
    for (const [name, { does, tells }] of Object.entries(cases)) {
      for (const how of ['beaten', 'current'] as const) {
        it(`when ${name} (${how})`, async () => {
          const { world, watch } = await acquainted()
          await does(world)
          assume(await watch.look(world, how)).eql(tells)
          assume(watch.asked).eql(['changes'])
        })
      }
    }
  })

  describe('is read from the whole list', () => {
    const cases: Record<string, { does: (world: World) => Promise<unknown>; tells: string[]; asks?: string[] }> = {
      'a server of 1.x joins': { does: world => world.arise('http://old'), tells: ['join http://old '] },
      'more change than are remembered': {
        does: async world => {
          for (let i = 0; i < 257; i++) await world.join('http://a')
        },
        tells: ['join http://a life-261', 'leave http://a expired life-2']
      },
      'what is remembered has gone': {
        does: async world => {
          await world.join('http://d')
          await world.forgetLog()
          await world.join('http://e')
        },
        tells: ['join http://d life-5', 'join http://e life-6']
      },
      'the counter has gone': {
        does: async world => {
          await world.join('http://d')
          await world.forgetCounter()
          await world.join('http://e')
        },
        tells: ['join http://d life-5', 'join http://e life-6']
      },
      'all is lost, and others join': {
        does: async world => {
          await world.flush()
          for (const address of [SELF, 'http://d', 'http://e', 'http://f']) await world.join(address)
        },
        tells: ['join http://d life-6', 'join http://e life-7', 'join http://f life-8']
      }
    }
    for (const [name, { does, tells }] of Object.entries(cases)) {
      it(`when ${name}`, async () => {
        const { world, watch } = await acquainted()
        await does(world)
        assume(await watch.look(world, 'beaten')).eql(tells)
        assume(watch.asked).eql(['changes', 'census'])
      })
    }

    it('while there are servers of 1.x, of which one may replace another without counting', async () => {
      const { world, watch } = await acquainted()
      await world.arise('http://old')
      await watch.look(world, 'beaten')
      await world.vanish('http://old')
      await world.arise('http://older')
      await world.join('http://d')
      assume(await watch.look(world, 'beaten')).eql([
        'join http://d life-5',
        'join http://older ',
        'leave http://old shutdown '
      ])
      assume(watch.asked).eql(['census'])
    })

    it('while a member is absent without having left', async () => {
      const { world, watch } = await acquainted()
      await world.flush()
      for (const address of [SELF, 'http://a', 'http://b']) await world.join(address)
      assume(await watch.look(world, 'beaten')).eql([
        'join http://a life-6',
        'join http://b life-7',
        'leave http://a expired life-2',
        'leave http://b expired life-3'
      ])
      for (const how of ['beaten', 'current'] as const) {
        assume(await watch.look(world, how)).eql([])
        assume(watch.asked).eql(['census'])
      }
    })

    it('when the counter has gone back, as after a failover', async () => {
      const { world, watch } = await acquainted()
      await redis.ask(client =>
        client.multi().decr(world.keys.members).lpop(world.keys.changes).sadd(world.keys.servers, 'http://old').exec()
      )
      assume(await watch.look(world, 'beaten')).eql(['join http://old '])
      assume(watch.asked).eql(['changes', 'census'])
    })

    it('when the number of servers is right but their addresses are not', async () => {
      const { world, watch } = await acquainted()
      await redis.ask(client =>
        client.multi().srem(world.keys.servers, 'http://a').sadd(world.keys.servers, 'http://old').exec()
      )
      assume(await watch.look(world, 'current')).eql(['join http://old '])
      assume(watch.asked).eql(['census'])
    })
  })

  it('finds a peer by its tag, if no other peer has that, and every peer has one', async () => {
    const world = new World(redis)
    await world.join(SELF, 'self--')
    await world.join('http://a', 'aaaaaa')
    await world.join('http://b', 'bbbbbb')
    const watch = new Watch(world, false)
    const found = async (): Promise<string[]> => {
      await watch.look(world, 'beaten')
      return ['aaaaaa', 'bbbbbb', 'cccccc'].map(tag => watch.members.taggedWith(tag))
    }
    assume(await found()).eql(['http://a', 'http://b', ''])
    await world.join('http://c', 'bbbbbb')
    assume(await found()).eql(['http://a', '', ''])
    await world.leave('http://b')
    assume(await found()).eql(['http://a', 'http://c', ''])
    await world.join('http://c', 'cccccc')
    assume(await found()).eql(['http://a', '', 'http://c'])
    await world.join('http://d')
    assume(await found()).eql(['', '', ''])
    await world.leave('http://d')
    await world.arise('http://old')
    assume(await found()).eql(['', '', ''])
    await world.vanish('http://old')
    assume(await found()).eql(['http://a', '', 'http://c'])
  })

  it('finds a peer again whose address it had taken over provisionally', async () => {
    const world = new World(redis)
    for (const [address, tag] of [
      [SELF, 'self--'],
      ['http://a', 'aaaaaa']
    ] as const)
      await world.join(address, tag)
    const watch = new Watch(world, false)
    await watch.look(world, 'beaten')
    const { members } = watch
    members.take('http://a', ['life-2'])
    assume([members.taggedWith('aaaaaa'), members.addressOf(DESCRIPTION.word)]).eql(['', ''])
    members.release()
    assume([members.taggedWith('aaaaaa'), members.addressOf(DESCRIPTION.word)]).eql(['http://a', 'http://a'])
  })

  for (const whole of [false, true]) {
    it(`has no server that was found dead while ${whole ? 'the list' : 'the log'} was read`, async () => {
      const { world, watch } = await acquainted(whole)
      await redis.ask(client => client.srem(world.keys.servers, 'http://a'))
      await world.beat('http://a')
      const look = watch.look(world, 'beaten')
      watch.meanwhile = () => {
        watch.members.buried('http://a', 'life-2')
      }
      assume(await look).eql(['leave http://a expired life-2'])
    })
  }

  it('is the same whether read from the changes or from the whole list, in any sequence of events', async function () {
    this.timeout(120_000)
    const address = fc.constantFrom('http://a', 'http://b', 'http://c', 'http://d')
    const verb = fc.constantFrom('join' as const, 'leave' as const, 'die' as const, 'clean' as const, 'beat' as const)
    const verbOf1x = fc.constantFrom('arise' as const, 'vanish' as const)
    const step = (of1x: boolean) =>
      fc.oneof(
        { weight: 12, arbitrary: fc.record({ do: verb, address }) },
        { weight: of1x ? 4 : 0, arbitrary: fc.record({ do: verbOf1x, address }) },
        {
          weight: 8,
          arbitrary: fc.record({
            do: fc.constant('look' as const),
            how: fc.constantFrom('beaten' as const, 'current' as const)
          })
        },
        {
          weight: 1,
          arbitrary: fc.record({
            do: fc.constantFrom('flush' as const, 'forgetLog' as const, 'forgetCounter' as const)
          })
        }
      )
    let [partly, runs] = [0, 0]
    const steps = fc.boolean().chain(of1x => fc.array(step(of1x), { minLength: 10, maxLength: 60 }))
    await fc.assert(
      fc.asyncProperty(steps, async actions => {
        runs++
        const world = new World(redis)
        await world.join(SELF)
        const watches = [new Watch(world, false), new Watch(world, true)] as const
        const look = async (how: 'beaten' | 'current'): Promise<void> => {
          // Who looks has beaten before.
          await world.beat(SELF)
          const [told, expected] = [await watches[0].look(world, how), await watches[1].look(world, how)]
          assume(told).eql(expected)
          if (told.length > 0 && !watches[0].asked.includes('census')) partly++
        }
        for (const action of actions) {
          if (action.do === 'look') await look(action.how)
          else if ('address' in action) await world[action.do](action.address)
          else await world[action.do]()
        }
        await look('beaten')
        await look('current')
        world.registry.close()
        // A busy machine tries fewer.
      }),
      { numRuns: 80, interruptAfterTimeLimit: 60_000 }
    )
    assume(partly).is.above(runs / 2)
  })

  it('costs each server one lookup per joining server, however many there are', async () => {
    const space = namespace()
    const client = redis.client()
    // Beats are so rare that they hardly count.
    const open = (i: number): ReturnType<typeof member> =>
      member(client, space, `http://${i}:1`, { metroplex: { lease: 60_000 } })
    const members = Array.from({ length: 30 }, (_, i) => open(i))
    await Promise.all(members.map(one => one.ready()))
    for (const one of members) assume(await one.servers()).has.length(29)
    const before = await calls(redis, 'hmget')
    await open(30).ready()
    for (const one of members) assume(await one.servers()).has.length(30)
    assume((await calls(redis, 'hmget')) - before).is.below(3 * 30)
  })
})
