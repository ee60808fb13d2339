import { Registry } from '../lib/registry/registry'
import type { PresenceKind } from '../lib/registry/stores/presence-store'
import type { LifeId } from '../lib/registry/records'
import { PresenceMemory } from '../lib/sync/presence-memory'
import { assume } from './support/assume'
import { DESCRIPTION, TERMS } from './support/description'
import { using } from './support/dispose'
import { FULL } from './support/full'
import { sharedRedis } from './support/shared-redis'
import { type RedisProcess } from './support/redis'

const nothing = (): void => undefined

/** One server's side of the registry: what it writes there, without a writer. */
class Side {
  readonly registry: Registry
  me: LifeId
  #seq = 0

  constructor(redis: RedisProcess, space: string, name: string, grace: number) {
    this.me = { address: `http://${name}`, life: `life-of-${name}` }
    this.registry = Registry.open(
      redis.client(),
      space,
      { timeout: 5000, name: 'test', grace },
      { ready: nothing, lost: nothing, endangered: nothing, secured: nothing }
    )
    using(() => this.registry.close())
  }

  async join(expected = ''): Promise<this> {
    assume((await this.registry.join(this.me, this.#seq, TERMS, DESCRIPTION, expected, true)).as).equals('joined')
    return this
  }

  /** Another life of this server, after the former one was buried. */
  async again(life: string): Promise<void> {
    const { life: former } = this.me
    this.me = { ...this.me, life }
    this.#seq = 0
    await this.join(former)
  }

  async rename(id: string, from: string | undefined, to: string | undefined): Promise<void> {
    assume((await this.registry.users.commit(this.me, ++this.#seq, [{ id, from, to }])).as).equals('ok')
  }

  async tally(group: string, sparks: number): Promise<void> {
    assume((await this.registry.groups.commit(this.me, ++this.#seq, [[group, sparks]])).as).equals('ok')
  }

  /** What this process tells now, as announcements without their numbers. */
  async tells(holder = 'a process'): Promise<string[]> {
    const { presence } = this.registry
    const announcements = await presence.take(holder, await presence.due(holder, 100))
    return announcements.map(text => text.replace(/^([+-])\d+ (\d+ )?/, '$1')).sort()
  }
}

describe('presence in the registry', () => {
  const shared = sharedRedis()

  const side = (name: string, grace = 0): Promise<Side> => new Side(shared.redis, shared.space, name, grace).join()

  const left = async (): Promise<string[]> => shared.redis.client().zrange(`${shared.space}:leaving`, '0', '-1')

  /** Redis says that this server is dead. */
  const die = async ({ me }: Side): Promise<void> => {
    const client = shared.redis.client()
    await client.hset(`${shared.space}:${me.address}:life`, 'state', 'dead')
    await client.del(`${shared.space}:${me.address}:lease`, `${shared.space}:${me.address}`)
  }

  it('has an announcement for the first spark of a user, and for the end of the last one', async () => {
    const [a, b] = [await side('a'), await side('b')]
    await a.rename('one', undefined, 'ann')
    await b.rename('two', undefined, 'ann')
    assume(await a.tells()).eql(['+uann'])
    await a.rename('one', 'ann', undefined)
    assume(await left()).eql([])
    await b.rename('two', 'ann', 'ben')
    assume(await left()).eql(['uann'])
    await b.tally('x', 3)
    await b.tally('x', 2)
    await a.tally('x', 1)
    await a.tally('x', 0)
    assume(await b.tells()).eql(['+gx', '+uben', '-uann'])
    await b.tally('x', 0)
    assume(await b.tells()).eql(['-gx'])
  })

  it('has no announcement for a spark that moves between servers under one id', async () => {
    const [a, b] = [await side('a'), await side('b')]
    await a.rename('one', undefined, 'ann')
    assume(await a.tells()).eql(['+uann'])
    await b.rename('one', undefined, 'ann')
    await a.rename('one', 'ann', undefined)
    assume(await a.tells()).eql([])
    assume(await left()).eql([])
  })

  it('takes back an end that was found due, when a spark comes before it is taken', async () => {
    const a = await side('a')
    const { presence } = a.registry
    await a.rename('one', undefined, 'ann')
    await a.tells()
    await a.rename('one', 'ann', undefined)
    const due = await presence.due('a process', 100)
    assume(due).eql({ turn: true, names: ['uann'], announcements: [] })
    await a.rename('two', undefined, 'ann')
    assume(await presence.take('a process', due)).eql([])
    assume(await a.tells()).eql([])
  })

  it('gives each announcement to one process at a time, and names to that of the turn', async () => {
    const a = await side('a')
    const { presence } = a.registry
    await a.rename('one', undefined, 'ann')
    await a.rename('two', undefined, 'ben')
    await a.rename('two', 'ben', undefined)
    const first = await presence.due('first', 100)
    assume([first.turn, first.names, first.announcements.length]).eql([true, ['uben'], 2])
    assume(await presence.due('second', 100)).eql({ turn: false, names: [], announcements: [] })
    assume(await presence.take('second', first)).eql([])
    assume((await presence.take('first', first)).length).equals(3)
    assume(await presence.take('first', first)).eql([])
    assume(await a.tells('first')).eql([])
  })

  it('keeps an announcement until it is acknowledged', async () => {
    const a = await side('a')
    const { presence } = a.registry
    await a.rename('one', undefined, 'ann')
    const announcements: string[] = []
    for (let round = 0; round < 3; round++) {
      announcements.push(...(await presence.take('a process', await presence.due('a process', 100))))
      assume(await a.tells()).eql([])
      // As if twice `timeout` had passed.
      await shared.redis.client().zadd(`${shared.space}:untold`, 'XX', 0, announcements[0] ?? '')
    }
    assume([announcements.length, new Set(announcements).size]).eql([3, 1])
    await presence.acknowledge(announcements)
    assume(await shared.redis.client().exists(`${shared.space}:untold`)).equals(0)
  })

  it('has numbers that grow, also after a flush', async () => {
    const numbers: number[] = []
    for (let round = 0; round < 3; round++) {
      const a = await side(`a${round}`)
      const { presence } = a.registry
      await a.rename('one', undefined, 'ann')
      await a.rename('one', 'ann', undefined)
      const announcements = await presence.take('a process', await presence.due('a process', 100))
      numbers.push(
        ...announcements.map(announcement => Number(announcement.split(' ')[0]?.slice(1))).sort((x, y) => x - y)
      )
      await shared.redis.client().flushall()
    }
    assume(numbers.length).equals(6)
    assume(numbers).eql([...new Set(numbers)].sort((x, y) => x - y))
  })

  it('ends what a dead server held, and what a former life left behind', async () => {
    const [a, b] = [await side('a'), await side('b')]
    await a.rename('one', undefined, 'ann')
    await a.rename('two', undefined, 'ben')
    await b.rename('three', undefined, 'ben')
    await a.tally('x', 2)
    await a.tells()
    await die(a)
    const { users, groups } = b.registry
    assume(
      await users.reap(a.me, [
        ['one', 'ann'],
        ['two', 'ben']
      ])
    ).true()
    assume(await groups.reap(a.me, [['x', 0]])).true()
    assume(await b.tells()).eql(['-gx', '-uann'])

    await a.again('another')
    await a.rename('four', undefined, 'cat')
    await a.tally('y', 1)
    await a.tells()
    await die(a)
    await a.again('yet another')
    await users.clear(a.me.address, [['four', 'cat']])
    await groups.clear(a.me.address, [['y', 0]])
    assume(await b.tells()).eql(['-gy', '-ucat'])
  })

  it('says nothing of what a buried server has again within the grace', async () => {
    const [a, b] = [await side('a', 60_000), await side('b', 60_000)]
    await a.rename('one', undefined, 'ann')
    assume(await a.tells()).eql(['+uann'])
    await die(a)
    await b.registry.users.reap(a.me, [['one', 'ann']])
    assume(await left()).eql(['uann'])
    await a.again('another')
    await a.rename('one', undefined, 'ann')
    assume(await left()).eql([])
    assume(await a.tells()).eql([])
  })

  it('goes on while Redis is full', async () => {
    const [a, b] = [await side('a'), await side('b')]
    const client = shared.redis.client()
    await a.rename('one', undefined, 'ann')
    await a.rename('two', undefined, 'ben')
    await a.tally('x', 1)
    await b.tally('y', 1)
    await b.tells()
    await die(b)
    await client.config('SET', 'maxmemory', FULL)
    try {
      await a.rename('one', 'ann', undefined)
      await a.tally('x', 0)
      await b.registry.groups.reap(b.me, [['y', 0]])
      assume(await a.tells()).eql(['-gx', '-gy', '-uann'])
      await a.registry.presence.doubt(a.me, 'u', ['cat'])
    } finally {
      await client.config('SET', 'maxmemory', '0')
    }
    assume(await a.tells()).eql(['-ucat'])
  })

  describe('that has lost its data', () => {
    /** A server that remembers what it had, and its users. */
    const witnessed = async (): Promise<[Side, PresenceMemory, Set<string>]> => {
      const one = new Side(shared.redis, shared.space, 'a', 0)
      const here = new Set<string>()
      const count = (kind: PresenceKind): { count(of: string): number } => ({
        count: of => Number(here.has(kind + of))
      })
      const memory = new PresenceMemory(one.registry.presence, 0, { u: count('u'), g: count('g') })
      await one.join()
      memory.open(one.me.life, false)
      return [one, memory, here]
    }

    /** A minute passes for this process, and a beat is answered. */
    const wait = (memory: PresenceMemory): void => {
      const now = performance.now.bind(performance)
      performance.now = () => now() + 60_000
      using(() => {
        performance.now = now
      })
      memory.heard()
    }

    /** The registry is lost, and the server joins it again. */
    const lose = async (one: Side, memory: PresenceMemory): Promise<void> => {
      await shared.redis.client().flushall()
      await one.join()
      memory.open(one.me.life, true)
    }

    for (const [when, announcements] of [
      ['shortly before', ['+uann']],
      ['long before', []]
    ] as const) {
      it(`tells ${announcements.length > 0 ? 'again' : 'nothing'} of a user who came ${when}`, async () => {
        const [a, memory, here] = await witnessed()
        here.add('uann')
        await a.rename('one', undefined, 'ann')
        if (when === 'long before') wait(memory)
        await lose(a, memory)
        await a.rename('one', undefined, 'ann')
        assume(await a.tells()).eql(announcements)
        await memory.noteDoubts(a.me)
        memory.healed()
        assume(await a.tells()).eql([])
      })
    }

    it('tells of users who left before it was back, and of their return', async () => {
      const [a, memory, here] = await witnessed()
      for (const user of ['ann', 'ben', 'cat']) {
        here.add(`u${user}`)
        await a.rename(`of ${user}`, undefined, user)
      }
      // Cat leaves before, ann and ben during the outage.
      here.delete('ucat')
      await a.rename('of cat', 'cat', undefined)
      await lose(a, memory)
      here.clear()
      await memory.noteDoubts(a.me)
      assume((await left()).sort()).eql(['?uann', '?uben', '?ucat'])
      here.add('uben')
      await a.rename('another', undefined, 'ben')
      memory.healed()
      assume(await a.tells()).eql(['+uben', '-uann', '-ucat'])
      assume((await left()).sort()).eql(['!uann', '!ucat'])
      assume(await a.tells()).eql([])
    })

    it('is told of a user whose end was told before its server was back', async () => {
      const [a, memory, here] = await witnessed()
      here.add('uann')
      await a.rename('one', undefined, 'ann')
      wait(memory)
      await lose(a, memory)
      const b = await side('b')
      await b.registry.presence.doubt(b.me, 'u', ['ann'])
      assume(await b.tells()).eql(['-uann'])
      await a.rename('one', undefined, 'ann')
      assume(await left()).eql([])
      assume(await b.tells()).eql(['+uann'])
    })

    it('is told everything by another life, because others saw the former one end', async () => {
      const [a, memory, here] = await witnessed()
      here.add('uann')
      await a.rename('one', undefined, 'ann')
      wait(memory)
      memory.open('another', false)
      memory.open(a.me.life, false)
      await lose(a, memory)
      await a.rename('one', undefined, 'ann')
      assume(await a.tells()).eql(['+uann'])
    })

    it('tells one end once, of two that are known', async () => {
      const [a, memory, here] = await witnessed()
      here.add('uann')
      await a.rename('one', undefined, 'ann')
      here.clear()
      await lose(a, memory)
      await memory.noteDoubts(a.me)
      memory.healed()
      await a.rename('two', undefined, 'ann')
      await a.rename('two', 'ann', undefined)
      assume((await left()).sort()).eql(['?uann', 'uann'])
      assume(await a.tells()).eql(['+uann', '-uann'])
      assume(await a.tells()).eql([])
      assume(await left()).eql([])
    })
  })
})
