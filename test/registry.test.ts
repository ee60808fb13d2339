import fc from 'fast-check'
import { deferred } from '../lib/common/async'
import { ignore } from '../lib/common/callback'
import { Auditor } from '../lib/membership/auditor'
import { Reaper } from '../lib/membership/reaper'
import type { Spark } from '../lib/common/types'
import { Healer } from '../lib/sync/healer'
import { Keys } from '../lib/registry/keys'
import { PendingGroups } from '../lib/sync/pending-groups'
import { PendingUsers } from '../lib/sync/pending-users'
import type { Beat, LifeId } from '../lib/registry/records'
import { Registry } from '../lib/registry/registry'
import { LocalSparks } from '../lib/sync/local-sparks'
import { Writer } from '../lib/sync/writer'
import { assume } from './support/assume'
import { calls } from './support/calls'
import { DESCRIPTION, TERMS } from './support/description'
import { using } from './support/dispose'
import { namespace } from './support/namespace'
import type { RedisProcess } from './support/redis'
import { sharedRedis } from './support/shared-redis'
import { rejection } from './support/rejection'
import { eventually } from './support/wait'

function spark(id: string): Spark {
  return { id, readyState: 1, write: () => true, end: () => undefined }
}

/** One server's side of the registry, without Primus. */
class Side {
  readonly namer = new PendingUsers()
  readonly table = new LocalSparks({ disowned: ignore, owned: ignore })
  readonly doubts: Error[] = []
  readonly me: LifeId
  readonly registry: Registry
  readonly writer: Writer
  readonly healer: Healer

  constructor(redis: RedisProcess, space: string, name: string, life = `life-of-${name}`) {
    this.me = { address: `http://${name}`, life }
    this.registry = Registry.open(
      redis.client(),
      space,
      { timeout: 5000, name: 'test' },
      {
        ready: () => undefined,
        lost: () => undefined,
        endangered: () => undefined,
        secured: () => undefined
      }
    )
    const places = (ids: readonly string[]): Promise<(string | null)[]> => this.registry.sparks.places(ids)
    this.writer = new Writer(
      this.registry,
      { sparks: this.table, users: this.namer, groups: new PendingGroups(), places },
      {
        doubt: error => this.doubts.push(error),
        committed: () => undefined,
        postponed: () => undefined
      }
    )
    this.healer = new Healer(this.registry, this.table, this.writer)
    using(() => this.registry.close())
  }

  async join(expected = '', over = false): Promise<void> {
    const joined = await this.registry.join(this.me, this.writer.seq, TERMS, DESCRIPTION, expected, over)
    assume(joined.as).equals('joined')
  }

  async joined(): Promise<this> {
    await this.join()
    this.writer.open(this.me, true)
    return this
  }

  connect(one: Spark): void {
    if (this.table.add(one.id, one)) this.writer.connect(one.id)
  }

  disconnect(one: Spark): void {
    if (this.table.remove(one.id, one)) this.writer.disconnect(one.id)
  }

  /** A spark of a user; resolves when the registry has it. */
  async named(id: string, user: string): Promise<void> {
    this.connect(spark(id))
    this.writer.rename(id, undefined, user, true)
    await this.namer.written(id)
  }

  /** A beat, and whether it found what has been written. */
  async beat(): Promise<{ beat: Beat; right: boolean }> {
    return this.writer.exclusive(async () => {
      const beat = await this.registry.beat(this.me, TERMS, 0)
      return { beat, right: beat.as === 'ok' && this.writer.agrees(beat) }
    })
  }

  /** Until nothing is waiting to be written. */
  async settled(): Promise<void> {
    await new Promise(resolve => setImmediate(resolve))
    await this.writer.exclusive(() => Promise.resolve())
    const { beat, right } = await this.beat()
    const written = right && beat.as === 'ok' && beat.sparks === this.table.size - this.table.disowned.size
    if (!written && !this.writer.inDoubt) await this.settled()
  }
}

/** Let the next call of a method wait. `reached` resolves when it has come; `release` lets it go on. */
function held<K extends string>(
  on: Record<K, (...args: never[]) => unknown>,
  name: K
): { reached: Promise<unknown>; release: () => void } {
  const [reached, free] = [deferred<null>(), deferred<null>()]
  const method = on[name]
  on[name] = async (...args: never[]) => {
    on[name] = method
    reached.resolve(null)
    await free.promise
    return method.apply(on, args)
  }
  return {
    reached: reached.promise,
    release: () => {
      free.resolve(null)
    }
  }
}

describe('the registry', () => {
  const shared = sharedRedis()
  let redis: RedisProcess
  let space: string
  let keys: Keys

  beforeEach(() => {
    ;({ redis, space } = shared)
    keys = new Keys(space)
  })

  const side = (name: string, life?: string): Side => new Side(redis, space, name, life)
  const joined = (name: string): Promise<Side> => side(name).joined()

  describe('writing sparks', () => {
    it('commits what gathers in one turn of the event loop together', async () => {
      const a = await joined('a')
      for (let i = 0; i < 100; i++) a.connect(spark(`s${i}`))
      await a.settled()
      assume(a.writer.seq).equals(1)
      assume(await redis.client().hlen(keys.sparks)).equals(100)
      assume(await redis.client().scard(keys.sparksOf('http://a'))).equals(100)
    })

    it('writes nothing of a spark that came and went in between', async () => {
      const a = await joined('a')
      const brief = spark('brief')
      a.connect(brief)
      a.disconnect(brief)
      await a.settled()
      assume(a.writer.seq).equals(0)
    })

    it('keeps a spark that went and came back in between', async () => {
      const a = await joined('a')
      const [first, second] = [spark('same'), spark('same')]
      a.connect(first)
      await a.settled()
      a.disconnect(first)
      a.connect(second)
      await a.settled()
      assume(await a.registry.sparks.places(['same'])).eql(['http://a'])
    })

    it('keeps an id as long as one spark has it', async () => {
      const a = await joined('a')
      const [first, second] = [spark('twice'), spark('twice')]
      a.connect(first)
      a.connect(second)
      a.connect(second)
      await a.settled()
      a.disconnect(first)
      a.disconnect(first)
      await a.settled()
      assume(await a.registry.sparks.places(['twice'])).eql(['http://a'])
      a.disconnect(second)
      await a.settled()
      assume(await a.registry.sparks.places(['twice'])).eql([null])
    })

    it('ignores the disconnect of an unknown spark', async () => {
      const a = await joined('a')
      a.connect(spark('s'))
      a.disconnect(spark('s'))
      await a.settled()
      assume(await a.registry.sparks.places(['s'])).eql(['http://a'])
    })

    it('moves a spark to where it connected last, and its late disconnect there removes nothing', async () => {
      const [a, b] = [await joined('a'), await joined('b')]
      const old = spark('mover')
      a.connect(old)
      await a.settled()
      b.connect(spark('mover'))
      await b.settled()
      assume(await redis.client().scard(keys.sparksOf('http://a'))).equals(0)
      a.disconnect(old)
      await a.beat()
      assume(await a.registry.sparks.places(['mover'])).eql(['http://b'])
    })

    it('refuses a commit whose number was seen, and one of another life', async () => {
      const a = await joined('a')
      const named = [{ id: 'x', from: undefined, to: 'ann' }]
      assume((await a.registry.sparks.commit(a.me, 1, { connects: ['x'], disconnects: [] })).as).equals('ok')
      assume((await a.registry.sparks.commit(a.me, 1, { connects: ['y'], disconnects: [] })).as).equals('old')
      assume(
        (await a.registry.sparks.commit({ ...a.me, life: 'another' }, 2, { connects: ['y'], disconnects: [] })).as
      ).equals('refused')
      assume((await a.registry.users.commit(a.me, 1, named)).as).equals('old')
      assume((await a.registry.users.commit({ ...a.me, life: 'another' }, 2, named)).as).equals('refused')
      assume(await a.registry.sparks.places(['x', 'y'])).eql(['http://a', null])
      assume(await a.registry.users.sparks(['ann'])).eql([[]])
    })

    for (const id of [':', '{}', '%41', '*', 'a\nb', 'ünï¢ødé 🚀', '__proto__', 'x'.repeat(10_240), '0', ' ']) {
      it(`stores and finds the id ${JSON.stringify(id.slice(0, 12))} as it is`, async () => {
        const a = await joined('a')
        const one = spark(id)
        a.connect(one)
        await a.settled()
        assume(await a.registry.sparks.places([id])).eql(['http://a'])
        a.disconnect(one)
        await a.settled()
        assume(await a.registry.sparks.places([id])).eql([null])
      })
    }

    it('splits what is too much for one script', async () => {
      const a = await joined('a')
      const all = Array.from({ length: 1200 }, (_, i) => spark(`s${i}`))
      all.forEach(one => a.connect(one))
      await a.settled()
      assume(await redis.client().hlen(keys.sparks)).equals(1200)
      all.forEach(one => a.disconnect(one))
      await a.settled()
      assume(await redis.client().exists(keys.sparks, keys.sparksOf('http://a'))).equals(0)
    })
  })

  describe('healing', () => {
    it('restores what a flush has removed, and removes entries without a spark', async () => {
      const a = await joined('a')
      for (let i = 0; i < 600; i++) a.connect(spark(`s${i}`))
      await a.settled()
      await redis.client().del(keys.sparks)
      await redis.client().srem(keys.sparksOf('http://a'), 's1', 's2')
      await redis.client().sadd(keys.sparksOf('http://a'), 'ghost')
      await redis.client().hset(keys.sparks, 'ghost', 'http://a')
      assume((await a.beat()).right).false()
      assume(await a.healer.heal(a.me)).equals(601)
      assume((await a.beat()).right).true()
      assume(await redis.client().hlen(keys.sparks)).equals(600)
    })

    it('never takes an id from a live server, and no longer answers for it', async () => {
      const [a, b] = [await joined('a'), await joined('b')]
      a.connect(spark('mine?'))
      await a.settled()
      b.connect(spark('mine?'))
      await b.settled()
      assume((await a.beat()).right).false()
      await a.healer.heal(a.me)
      assume(await a.registry.sparks.places(['mine?'])).eql(['http://b'])
      assume(a.table.owns('mine?')).false()
      assume((await a.beat()).right).true()
    })

    it('asks again for such an id, and has it once the other lets go', async () => {
      const [a, b] = [await joined('a'), await joined('b')]
      const theirs = spark('s')
      a.connect(spark('s'))
      await a.settled()
      b.connect(theirs)
      await b.settled()
      await a.healer.heal(a.me)
      b.disconnect(theirs)
      await b.settled()
      assume(await a.healer.reclaim(a.me, true)).equals(1)
      assume(a.table.owns('s')).true()
      assume(await a.registry.sparks.places(['s'])).eql(['http://a'])
      assume((await a.beat()).right).true()
      assume(await a.healer.reclaim(a.me, true)).equals(0)
    })

    it('takes an id from a server that is dead', async () => {
      const [a, b] = [await joined('a'), await joined('b')]
      b.connect(spark('s'))
      await b.settled()
      await redis.client().del(keys.lease('http://b'))
      a.table.add('s', spark('s'))
      assume(await a.healer.heal(a.me)).equals(1)
      assume(await a.registry.sparks.places(['s'])).eql(['http://a'])
    })

    it('tells a server that lives without its lease which ids were taken from it while it healed', async () => {
      const [a, b, c] = [await joined('a'), await joined('b'), await joined('c')]
      for (const side of [a, b, c]) for (let i = 0; i < 500; i++) side.table.add(`s${i}`, spark(`s${i}`))
      await a.healer.heal(a.me)
      // Its heal is past those ids when others heal, too.
      const rest = held(a.writer.users, 'release')
      const healing = a.healer.heal(a.me)
      await rest.reached
      await redis.client().del(keys.lease('http://a'))
      const taken = await Promise.all([b, c].map(side => side.healer.heal(side.me)))
      assume(taken.sort()).eql([0, 500])
      assume((await a.beat()).right).false()
      rest.release()
      await healing
      assume((await a.beat()).right).false()
      await a.healer.heal(a.me)
      for (const side of [a, b, c]) assume((await side.beat()).right).true()
      assume(await redis.client().scard(keys.sparksOf('http://a'))).equals(0)
      const owners = [a, b, c].filter(({ table }) => table.owns('s0')).map(({ me }) => me.address)
      assume(owners).eql(await a.registry.sparks.places(['s0']))
    })

    it('leaves a doubt that arose during it to the next one', async () => {
      const a = await joined('a')
      const old = spark('old')
      a.connect(old)
      await a.settled()
      const rest = held(a.writer.users, 'release')
      const healing = a.healer.heal(a.me)
      await rest.reached
      // The number stays right: a beat cannot see what was lost.
      const commit = a.registry.sparks.commit.bind(a.registry.sparks)
      a.registry.sparks.commit = () => Promise.reject(new Error('lost'))
      a.disconnect(old)
      a.connect(spark('new'))
      await eventually(() => a.doubts.length === 1)
      a.registry.sparks.commit = commit
      rest.release()
      await healing
      assume(a.writer.inDoubt).true()
      await a.healer.heal(a.me)
      assume(a.writer.inDoubt).false()
      assume(await a.registry.sparks.places(['old', 'new'])).eql([null, 'http://a'])
      assume(await redis.client().smembers(keys.sparksOf('http://a'))).eql(['new'])
    })

    it('takes an id from a live server that does not list it', async () => {
      const [a, b] = [await joined('a'), await joined('b')]
      await redis.client().hset(keys.sparks, 's', b.me.address)
      a.table.add('s', spark('s'))
      assume(await a.healer.heal(a.me)).equals(1)
      assume(await a.registry.sparks.places(['s'])).eql(['http://a'])
      assume(a.table.owns('s')).true()
    })

    it('leaves an id to a server of 1.x that lives where a life has ended', async () => {
      const a = await joined('a')
      const client = redis.client()
      await client.hset(keys.sparks, 's', 'http://old')
      await client.sadd(keys.sparksOf('http://old'), 's')
      await client.hset(keys.life('http://old'), { id: 'ended', state: 'reaped' })
      await client.set(keys.alive('http://old'), '1', 'PX', 60_000)
      a.table.add('s', spark('s'))
      assume(await a.healer.heal(a.me)).equals(0)
      assume(await a.registry.sparks.places(['s'])).eql(['http://old'])
      assume(a.table.owns('s')).false()
    })

    it('leaves the user of a spark to the server that the registry says has it', async () => {
      const [a, b] = [await joined('a'), await joined('b')]
      await b.named('s', 'ann')
      await a.settled()
      a.namer.names.add('ann', 's')
      assume((await a.beat()).right).false()
      assume(await a.healer.heal(a.me)).equals(0)
      assume(await redis.client().hgetall(keys.user('ann'))).eql({ s: b.me.address })
      assume(await redis.client().exists(keys.usersOf(a.me.address))).equals(0)
    })

    it('fences off a commit that is still on its way', async () => {
      const a = await joined('a')
      a.table.add('s', spark('s'))
      await a.healer.heal(a.me)
      assume((await a.registry.sparks.commit(a.me, 1, { connects: [], disconnects: ['s'] })).as).equals('old')
    })

    it('is needed when a commit was refused, and not before', async () => {
      const a = await joined('a')
      await redis.client().del(keys.life('http://a'))
      a.connect(spark('s'))
      await a.settled()
      assume(a.writer.inDoubt).true()
      assume(a.doubts).has.length(1)
      assume((await a.beat()).beat.as).equals('gone')
      await a.join()
      a.writer.open(a.me, false)
      await a.healer.heal(a.me)
      assume(a.writer.inDoubt).false()
      assume(await a.registry.sparks.places(['s'])).eql(['http://a'])
    })

    it('says that it failed when the life is another by now', async () => {
      const a = await joined('a')
      await redis.client().hset(keys.life('http://a'), 'id', 'another')
      assume((await rejection(a.healer.heal(a.me))).message).includes('refused')
      assume((await a.beat()).beat.as).equals('other')
    })
  })

  describe('auditing', () => {
    const haste = (): Promise<boolean> => Promise.resolve(true)

    it('repairs what no beat can see: an entry that was deleted, or names a server that does not have it', async () => {
      const [a, b] = [await joined('a'), await joined('b')]
      for (const id of ['kept', 'deleted', 'changed', 'dead']) a.connect(spark(id))
      await a.settled()
      await redis.client().hdel(keys.sparks, 'deleted')
      await redis.client().hset(keys.sparks, 'changed', b.me.address, 'dead', 'http://unknown')
      assume((await a.beat()).right).true()
      assume(await a.healer.audit(a.me, haste)).equals(3)
      assume(await a.registry.sparks.places(['kept', 'deleted', 'changed', 'dead'])).eql(
        Array.from({ length: 4 }, () => a.me.address)
      )
      assume((await a.beat()).right).true()
      assume(await a.healer.audit(a.me, haste)).equals(0)
    })

    it('puts right what is exchanged, so that the number is right', async () => {
      const a = await joined('a')
      a.connect(spark('s'))
      await a.settled()
      await redis
        .client()
        .multi()
        .srem(keys.sparksOf(a.me.address), 's')
        .sadd(keys.sparksOf(a.me.address), 'ghost')
        .hset(keys.sparks, 'ghost', a.me.address)
        .exec()
      assume((await a.beat()).right).true()
      assume(await a.healer.audit(a.me, haste)).equals(2)
      assume(await redis.client().hgetall(keys.sparks)).eql({ s: a.me.address })
      assume(await redis.client().smembers(keys.sparksOf(a.me.address))).eql(['s'])
    })

    it('puts right what is exchanged or lacking in the sparks of users', async () => {
      const [a, b] = [await joined('a'), await joined('b')]
      const client = redis.client()
      for (const id of ['kept', 'deleted', 'changed', 'exchanged']) await a.named(id, 'ann')
      await a.settled()
      await client.hdel(keys.user('ann'), 'deleted')
      await client.hset(keys.user('ann'), 'changed', b.me.address, 'ghost', a.me.address)
      await client
        .multi()
        .hdel(keys.usersOf(a.me.address), 'exchanged')
        .hset(keys.usersOf(a.me.address), 'ghost', 'ann')
        .exec()
      assume((await a.beat()).right).true()
      assume(await a.healer.audit(a.me, haste)).equals(4)
      const sparks = ['changed', 'deleted', 'exchanged', 'kept']
      assume(Object.entries(await client.hgetall(keys.user('ann'))).sort()).eql(sparks.map(id => [id, a.me.address]))
      assume((await client.hkeys(keys.usersOf(a.me.address))).sort()).eql(sparks)
      assume((await a.beat()).right).true()
      assume(await a.healer.audit(a.me, haste)).equals(0)
    })

    it('rests between slices, and gives up when it is told to', async () => {
      const a = await joined('a')
      for (let i = 0; i < 2000; i++) a.connect(spark(`s${i}`))
      await a.settled()
      await redis.client().del(keys.sparks)
      let rests = 0
      assume(await a.healer.audit(a.me, () => Promise.resolve(++rests < 2))).equals(1000)
      assume(await redis.client().hlen(keys.sparks)).equals(1000)
    })

    it('adds an entry to the set of the server it names, which then removes it', async () => {
      const a = await joined('a')
      a.connect(spark('s'))
      await a.settled()
      await redis.client().hset(keys.sparks, 'ghost', a.me.address)
      assume((await a.beat()).right).true()
      const { owners } = await a.registry.remains.entries('0')
      assume(owners.get(a.me.address)?.sort()).eql(['ghost', 's'])
      assume(await a.registry.remains.astray(a.me.address, ['ghost', 's'])).eql({ handed: 1, removed: [] })
      assume((await a.beat()).right).false()
      await a.healer.heal(a.me)
      assume(await redis.client().hgetall(keys.sparks)).eql({ s: a.me.address })
    })

    it('removes an entry of an unknown server, and reports it', async () => {
      const a = await joined('a')
      await redis.client().hset(keys.sparks, 'orphan', 'http://unknown')
      assume(await a.registry.remains.astray('http://unknown', ['orphan', 'unknown'])).eql({
        handed: 0,
        removed: ['orphan']
      })
      assume(await redis.client().hlen(keys.sparks)).equals(0)
    })

    it('leaves alone entries that are being cleaned up, and those of a server of 1.x', async () => {
      const a = await joined('a')
      const client = redis.client()
      await client.hset(keys.life('http://dead'), { id: 'dead', state: 'dead' })
      await client.hset(keys.life('http://aside'), { id: 'new', state: 'up', aside: 'old' })
      await client.set(keys.lease('http://aside'), 'new', 'PX', 60_000)
      await client.set(keys.alive('http://old'), '1', 'PX', 60_000)
      const owners = ['http://dead', 'http://aside', 'http://old']
      for (const owner of owners) {
        await client.hset(keys.sparks, `of ${owner}`, owner)
        assume(await a.registry.remains.astray(owner, [`of ${owner}`])).eql({ handed: 0, removed: [] })
      }
      assume(await client.hlen(keys.sparks)).equals(3)
    })

    /**
     * Has an auditor that is due within `every` look once at all entries; what it reaps. `goOn`: whether it may, before
     * it begins and after each page.
     */
    const auditAll = async (a: Side, every: number, goOn = () => true): Promise<unknown[]> => {
      const reaped: unknown[] = []
      let turns = 0
      const { remains } = a.registry
      const watched: ConstructorParameters<typeof Auditor>[1] = {
        turn: (...args) => {
          turns++
          return remains.turn(...args)
        },
        hold: (...args) => remains.hold(...args),
        entries: cursor => remains.entries(cursor),
        lacking: owners => remains.lacking(owners),
        astray: (...args) => remains.astray(...args)
      }
      const auditor = new Auditor({ audit: () => Promise.resolve(0) }, watched, every, {
        healed: () => undefined,
        reap: (...args) => reaped.push(args)
      })
      await eventually(async () => {
        await auditor.runDue(a.me, goOn)
        return turns > 0
      })
      return reaped
    }

    it('asks one script for each page of all entries, however many servers they name', async () => {
      const client = redis.client()
      const sides = await Promise.all(Array.from({ length: 40 }, (_, i) => joined(`${i}`)))
      for (const one of sides) for (let i = 0; i < 50; i++) one.connect(spark(`${one.me.address} ${i}`))
      for (const one of sides) await one.settled()
      const [a, b] = sides as [Side, Side]
      await client.hset(keys.sparks, 'orphan', 'http://unknown', 'ghost', b.me.address)
      const scripts = (): Promise<number> => calls(redis, 'eval', 'evalsha')
      const [pages, before] = [await calls(redis, 'hscan'), await scripts()]
      assume(await auditAll(a, 100)).eql([['http://unknown', ['orphan']]])
      const read = (await calls(redis, 'hscan')) - pages
      assume(read).is.above(3)
      // Besides one each: for its turn, and for either entry that is wrong; and all that is sent a second time because
      // Redis does not know it yet.
      assume((await scripts()) - before - read).is.below(8)
      assume((await b.beat()).right).false()
      assume(await client.hlen(keys.sparks)).equals(40 * 50 + 1)
    })

    it('holds its turn for as long as it takes, and gives up when another server has it', async () => {
      const a = await joined('a')
      for (let i = 0; i < 6000; i++) a.connect(spark(`s${i}`))
      await a.settled()
      const client = redis.client()
      const pages = await calls(redis, 'hscan')
      // A turn of 400 ms, which its rests outlast.
      await auditAll(a, 800)
      assume(await client.get(keys.audit)).equals(a.me.life)
      const all = (await calls(redis, 'hscan')) - pages
      assume(all).is.above(9)
      await client.del(keys.audit)
      let rests = 0
      await auditAll(a, 800, () => {
        if (++rests === 3) client.set(keys.audit, 'another').catch(ignore)
        return true
      })
      assume((await calls(redis, 'hscan')) - pages - all).within(2, all - 1)
      assume(await client.get(keys.audit)).equals('another')
    })

    it("is one server's turn at a time", async () => {
      const a = await joined('a')
      assume(await a.registry.remains.turn('one', 60_000)).true()
      assume(await a.registry.remains.turn('two', 60_000)).false()
    })
  })

  describe('cleaning up', () => {
    /** How often it is looked for users when it is cleaned up after a server that left. */
    const looks = async ({ registry, me }: Side): Promise<number> => {
      const reaper = new Reaper(
        registry,
        { hold: 60_000, ...TERMS },
        { buried: () => undefined, reap: () => undefined }
      )
      await registry.leave(me)
      const before = await calls(redis, 'hscan')
      await reaper.clean(me, false)
      return (await calls(redis, 'hscan')) - before
    }

    it('takes one look where there are no users, and one for each slice of them otherwise', async () => {
      const [a, b] = [await joined('a'), await joined('b')]
      for (let i = 0; i < 1000; i++) a.connect(spark(`of a ${i}`))
      await a.settled()
      await Promise.all(Array.from({ length: 1000 }, (_, i) => b.named(`of b ${i}`, `user ${i % 300}`)))
      await b.settled()
      assume(await looks(a)).equals(1)
      assume(await looks(b)).within(3, 1000 / 40)
      assume(await redis.client().keys(`${space}*user*`)).eql([])
      assume(await redis.client().exists(keys.sparks)).equals(0)
    })
  })

  describe('a sweep', () => {
    it('rejects, and leaves no rejection unhandled, when Redis fails while it asks whether to go on', async () => {
      const a = await joined('a')
      const unhandled: unknown[] = []
      const listener = (error: unknown): void => {
        unhandled.push(error)
      }
      process.on('unhandledRejection', listener)
      using(() => process.removeListener('unhandledRejection', listener))
      const reaper = new Reaper(
        a.registry,
        { hold: 1000, lease: 1000, interval: 1000 },
        { buried: ignore, reap: ignore }
      )
      a.registry.remains.doomed = () => Promise.reject(new Error('lost'))
      const asking = deferred<boolean>()
      const cleaned = reaper.clean({ address: 'http://b', life: 'ended' }, true, [], () => asking.promise)
      await new Promise(resolve => setImmediate(resolve))
      asking.resolve(true)
      assume((await rejection(cleaned)).message).equals('lost')
      assume(unhandled).eql([])
    })

    it('buries no server that leaves during the sweep', async () => {
      const [a, b] = [await joined('a'), await joined('b')]
      b.connect(spark('of b'))
      await b.settled()
      const told: unknown[] = []
      const { registry } = a
      const seen = deferred<undefined>()
      const reaper = new Reaper(
        {
          lives: async addresses => {
            const lives = await registry.lives(addresses)
            seen.resolve(undefined)
            return lives
          },
          vitals: async addresses => {
            await seen.promise
            await b.registry.leave(b.me)
            return registry.vitals(addresses)
          },
          remains: registry.remains,
          dependents: registry.dependents,
          resident: address => registry.resident(address),
          leave: me => registry.leave(me)
        },
        { hold: 60_000, ...TERMS },
        { buried: (...args) => told.push(args), reap: (...args) => told.push(args) }
      )
      await registry.beat(a.me, TERMS, 0)
      await reaper.sweep({ me: a.me, breaks: 0, full: false })
      assume(told).eql([])
      assume(await redis.client().hgetall(keys.life(b.me.address))).eql({ id: b.me.life, state: 'left' })
      assume(await redis.client().exists(keys.sparks, keys.sparksOf(b.me.address))).equals(0)
    })

    it('asks no more than the question that goes with its beat while all live, and finds one that dies', async () => {
      const [a, b] = [await joined('a'), await joined('b')]
      const { registry } = a
      const asked: string[] = []
      const told: unknown[] = []
      const { remains } = registry
      const survey = remains.survey.bind(remains)
      remains.survey = known => {
        asked.push('survey')
        return survey(known)
      }
      const reaper = new Reaper(
        {
          lives: addresses => {
            asked.push(`lives of ${addresses.join(' ')}`)
            return registry.lives(addresses)
          },
          vitals: addresses => registry.vitals(addresses),
          remains,
          dependents: registry.dependents,
          resident: address => registry.resident(address),
          leave: me => registry.leave(me)
        },
        { hold: 60_000, ...TERMS },
        { buried: address => told.push(address), reap: ignore }
      )
      const beat = async (): Promise<string[]> => {
        asked.length = 0
        const beating = registry.beat(a.me, TERMS, 60_000)
        reaper.prepare()
        await beating
        await new Promise(resolve => setImmediate(resolve))
        const before = asked.splice(0)
        await reaper.sweep({ me: a.me, breaks: 0, full: false })
        return [...before, 'sweep', ...asked]
      }
      assume(await beat()).eql(['sweep', 'survey', 'lives of http://b'])
      assume(await beat()).eql(['survey', 'sweep'])
      const c = await joined('c')
      assume(await beat()).eql(['survey', 'sweep', 'lives of http://c'])
      assume(await beat()).eql(['survey', 'sweep'])
      assume(told).eql([])
      await redis.client().del(keys.lease(b.me.address))
      assume(await beat()).eql(['survey', 'sweep', 'lives of http://b'])
      assume(told).eql(['http://b'])
      assume((await redis.client().smembers(keys.lives)).sort()).eql([a.me.address, c.me.address])
      // Without a turn, the next beat asks nothing, and no later sweep goes by what this one found.
      reaper.prepare()
      asked.length = 0
      reaper.prepare()
      await redis.client().del(keys.lease(c.me.address))
      await reaper.sweep({ me: a.me, breaks: 0, full: false })
      assume(asked).eql(['survey', 'lives of http://c'])
      assume(told).eql(['http://b', 'http://c'])
    })
  })

  describe('joining', () => {
    it('is refused while another life has its lease, and when it is not the one that was expected', async () => {
      await joined('a')
      const second = side('a', 'second')
      assume((await second.registry.join(second.me, 0, TERMS, DESCRIPTION, '', false)).as).equals('changed')
      const held = await second.registry.join(second.me, 0, TERMS, DESCRIPTION, 'life-of-a', false)
      assume(held.as).equals('held')
    })

    it('puts the sparks of the former life aside, and spares those that are back', async () => {
      const a = await joined('a')
      for (const id of ['back', 'gone']) a.connect(spark(id))
      await a.settled()
      const second = side('a', 'second')
      const answer = await second.registry.join(second.me, 0, TERMS, DESCRIPTION, 'life-of-a', true)
      assume(answer).eql({ as: 'joined', aside: ['life-of-a'], over: ['life-of-a'] })
      second.writer.open(second.me, true)
      second.connect(spark('back'))
      await second.settled()
      assume(await second.registry.remains.leftovers('http://a', 'life-of-a', '0')).equals(null)
      await redis.client().del(keys.former('http://a', 'life-of-a'))
      assume(await second.registry.remains.leftovers('http://a', 'life-of-a', '0')).eql({
        cursor: '0',
        ids: ['gone'],
        ended: true
      })
      const ids = ['gone']
      await second.registry.remains.clear('http://a', ids)
      await second.registry.remains.forget('http://a', 'life-of-a')
      assume(await redis.client().exists(keys.aside('http://a', 'life-of-a'))).equals(0)
      assume(await second.registry.sparks.places(['back', 'gone'])).eql(['http://a', null])
      assume(await redis.client().hget(keys.life('http://a'), 'aside')).equals('')
    })

    it('leaves the old life nothing to write', async () => {
      const a = await joined('a')
      const second = side('a', 'second')
      await second.join('life-of-a', true)
      a.connect(spark('s'))
      await a.settled()
      assume(a.writer.inDoubt).true()
      assume(await a.registry.sparks.places(['s'])).eql([null])
      assume((await a.beat()).beat).eql({ as: 'former', holder: 'second' })
      assume(await a.registry.leave(a.me)).false()
    })
  })

  it('notes in a life that its server drains, and not in that of another one', async () => {
    const a = await joined('a')
    const drains = async (): Promise<string | undefined> =>
      (await a.registry.lives(['http://a'])).get('http://a')?.description.drains
    assume(await drains()).equals('')
    await side('a', 'second').registry.drains({ address: 'http://a', life: 'second' }, true)
    assume(await drains()).equals('')
    await a.registry.drains(a.me, true)
    assume(await drains()).equals('1')
    await a.registry.drains(a.me, false)
    assume(await drains()).equals('')
    await a.registry.leave(a.me)
    await a.registry.drains(a.me, true)
    assume(await drains()).equals('')
  })

  it('counts the sparks of the other servers', async () => {
    const [a, b] = [await joined('a'), await joined('b')]
    for (const id of ['1', '2', '3']) a.connect(spark(id))
    b.connect(spark('4'))
    await a.settled()
    await b.settled()
    assume(await a.registry.sparks.others('http://a')).equals(1)
    assume(await a.registry.sparks.others('http://b')).equals(3)
    assume(await a.registry.sparks.others('http://c')).equals(4)
  })

  it('fails with the error of Redis when that refuses', async () => {
    const a = await joined('a')
    await redis.client().set(keys.sparks, 'no hash')
    const error = await rejection(a.registry.sparks.places(['s']))
    assume(error.code).equals('EREGISTRY')
    assume((error.cause as Error).message).includes('WRONGTYPE')
  })

  it('agrees with reality after any order of connects and disconnects', async function () {
    this.timeout(120_000)
    // Few ids and two servers, so that they meet: connects, disconnects, duplicates, moves, losses, heals.
    const id = fc.constantFrom('p', 'q', 'r')
    const who = fc.constantFrom(0, 1)
    const step = fc.oneof(
      { weight: 4, arbitrary: fc.record({ do: fc.constant('connect' as const), who, id }) },
      { weight: 4, arbitrary: fc.record({ do: fc.constant('disconnect' as const), who, id }) },
      { weight: 2, arbitrary: fc.record({ do: fc.constant('settle' as const), who }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant('forget' as const), id }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant('ghost' as const), who, id }) }
    )
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 25 }), async steps => {
        space = namespace()
        keys = new Keys(space)
        const sides = [await joined('a'), await joined('b')] as const
        const held: Spark[][] = [[], []]
        for (const action of steps) {
          if (action.do === 'connect') {
            const one = spark(action.id)
            held[action.who]?.push(one)
            sides[action.who === 0 ? 0 : 1].connect(one)
          } else if (action.do === 'disconnect') {
            const sparks = held[action.who] ?? []
            const at = sparks.findIndex(one => one.id === action.id)
            const [one] = at === -1 ? [] : sparks.splice(at, 1)
            if (one) sides[action.who === 0 ? 0 : 1].disconnect(one)
          } else if (action.do === 'settle') {
            const one = sides[action.who === 0 ? 0 : 1]
            if (!(await one.beat()).right) await one.healer.heal(one.me)
          } else if (action.do === 'forget') {
            await redis.client().hdel(keys.sparks, action.id)
          } else {
            await redis.client().sadd(keys.sparksOf(`http://${action.who === 0 ? 'a' : 'b'}`), action.id)
          }
        }
        // Two rounds: what one lets go of in the first, the other has in the second.
        for (let round = 0; round < 2; round++) {
          for (const one of sides) {
            await eventually(() => one.writer.waiting === 0 || one.writer.inDoubt, { every: 1 })
            await one.writer.exclusive(() => Promise.resolve())
            await one.healer.heal(one.me)
          }
        }
        for (const name of ['p', 'q', 'r']) {
          const holders = [0, 1]
            .filter(i => held[i]?.some(one => one.id === name))
            .map(i => `http://${i === 0 ? 'a' : 'b'}`)
          const [place] = await sides[0].registry.sparks.places([name])
          if (holders.length === 0) assume(place).equals(null)
          else assume(holders).includes(place)
          for (const one of sides) {
            const listed = await redis.client().sismember(keys.sparksOf(one.me.address), name)
            assume(listed === 1).equals(place === one.me.address)
            assume(one.table.owns(name)).equals(place === one.me.address)
          }
        }
        for (const one of sides) one.registry.close()
      }),
      { numRuns: 150 }
    )
  })
})
