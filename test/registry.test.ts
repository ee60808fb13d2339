import fc from 'fast-check'
import { ignore } from '../lib/callback'
import { Auditor } from '../lib/membership/auditor'
import { Reaper } from '../lib/membership/reaper'
import type { Spark } from '../lib/types'
import { Healer } from '../lib/registry/healer'
import { Keys } from '../lib/registry/keys'
import { Namer } from '../lib/registry/namer'
import type { Beat, Identity } from '../lib/registry/records'
import { Registry } from '../lib/registry/registry'
import { Table } from '../lib/registry/table'
import { Writer } from '../lib/registry/writer'
import { assume } from './support/assume'
import { calls } from './support/calls'
import { using } from './support/dispose'
import { namespace } from './support/namespace'
import { startRedis, type RedisProcess } from './support/redis'
import { rejection } from './support/rejection'
import { eventually } from './support/wait'

const terms = { lease: 60_000, interval: 60_000 }
const description = { name: 'test', version: '2', protocol: '2', pathname: '/primus', transport: 'http', word: 'a-word-of-ours', kinds: 'some all end' }

function spark(id: string): Spark {
  return { id, readyState: 1, write: () => true, end: () => undefined }
}

/** One server's side of the registry, without Primus. */
class Side {
  readonly namer = new Namer()
  readonly table = new Table({ disowned: ignore, owned: ignore })
  readonly doubts: Error[] = []
  readonly me: Identity
  readonly registry: Registry
  readonly writer: Writer
  readonly healer: Healer

  constructor(redis: RedisProcess, space: string, name: string, life = `life-of-${name}`) {
    this.me = { address: `http://${name}`, life }
    this.registry = Registry.open(redis.client(), space, { timeout: 5000 }, { ready: () => undefined, lost: () => undefined })
    this.writer = new Writer(this.registry, this.table, this.namer, { doubt: error => this.doubts.push(error), committed: () => undefined })
    this.healer = new Healer(this.registry, this.table, this.namer.names, this.writer, ids => this.registry.places(ids))
    using(() => this.registry.close())
  }

  async join(expected = '', over = false): Promise<void> {
    const joined = await this.registry.join(this.me, this.writer.seq, terms, description, expected, over)
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
      const beat = await this.registry.beat(this.me, terms, 0)
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

describe('the registry', () => {
  let redis: RedisProcess
  let space: string
  let keys: Keys

  before(async () => { redis = await startRedis({ scope: 'suite' }) })
  after(() => redis.stop())
  beforeEach(() => {
    space = namespace()
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
      assume(await a.registry.places(['same'])).eql(['http://a'])
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
      assume(await a.registry.places(['twice'])).eql(['http://a'])
      a.disconnect(second)
      await a.settled()
      assume(await a.registry.places(['twice'])).eql([null])
    })

    it('leaves alone what a spark nobody knows says', async () => {
      const a = await joined('a')
      a.connect(spark('s'))
      a.disconnect(spark('s'))
      await a.settled()
      assume(await a.registry.places(['s'])).eql(['http://a'])
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
      assume(await a.registry.places(['mover'])).eql(['http://b'])
    })

    it('refuses a commit whose number was seen, and one of another life', async () => {
      const a = await joined('a')
      const named = [{ id: 'x', from: undefined, to: 'ann' }]
      assume((await a.registry.commit(a.me, 1, ['x'], [])).as).equals('ok')
      assume((await a.registry.commit(a.me, 1, ['y'], [])).as).equals('old')
      assume((await a.registry.commit({ ...a.me, life: 'another' }, 2, ['y'], [])).as).equals('refused')
      assume((await a.registry.users.commit(a.me, 1, named)).as).equals('old')
      assume((await a.registry.users.commit({ ...a.me, life: 'another' }, 2, named)).as).equals('refused')
      assume(await a.registry.places(['x', 'y'])).eql(['http://a', null])
      assume(await a.registry.users.sparks(['ann'])).eql([[]])
    })

    for (const id of [':', '{}', '%41', '*', 'a\nb', 'ünï¢ødé 🚀', '__proto__', 'x'.repeat(10_240), '0', ' ']) {
      it(`stores and finds the id ${JSON.stringify(id.slice(0, 12))} as it is`, async () => {
        const a = await joined('a')
        const one = spark(id)
        a.connect(one)
        await a.settled()
        assume(await a.registry.places([id])).eql(['http://a'])
        a.disconnect(one)
        await a.settled()
        assume(await a.registry.places([id])).eql([null])
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
    it('puts back what a flush has taken, and takes away what nobody holds', async () => {
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

    it('never takes an id from a server that has a lease, and answers no more for it', async () => {
      const [a, b] = [await joined('a'), await joined('b')]
      a.connect(spark('mine?'))
      await a.settled()
      b.connect(spark('mine?'))
      await b.settled()
      assume((await a.beat()).right).false()
      await a.healer.heal(a.me)
      assume(await a.registry.places(['mine?'])).eql(['http://b'])
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
      assume(await a.healer.reclaim()).equals(1)
      assume(a.table.owns('s')).true()
      assume(await a.registry.places(['s'])).eql(['http://a'])
      assume((await a.beat()).right).true()
      assume(await a.healer.reclaim()).equals(0)
    })

    it('takes an id from a server that is dead', async () => {
      const [a, b] = [await joined('a'), await joined('b')]
      b.connect(spark('s'))
      await b.settled()
      await redis.client().del(keys.lease('http://b'))
      a.table.add('s', spark('s'))
      assume(await a.healer.heal(a.me)).equals(1)
      assume(await a.registry.places(['s'])).eql(['http://a'])
    })

    it('takes an id from a server that lives and does not have it among its own', async () => {
      const [a, b] = [await joined('a'), await joined('b')]
      await redis.client().hset(keys.sparks, 's', b.me.address)
      a.table.add('s', spark('s'))
      assume(await a.healer.heal(a.me)).equals(1)
      assume(await a.registry.places(['s'])).eql(['http://a'])
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
      assume(await a.registry.places(['s'])).eql(['http://old'])
      assume(a.table.owns('s')).false()
    })

    it('leaves the user of a spark to the server that the registry says has it', async () => {
      const [a, b] = [await joined('a'), await joined('b')]
      await b.named('s', 'ann')
      await a.settled()
      a.namer.names.add('s', 'ann')
      assume((await a.beat()).right).false()
      assume(await a.healer.heal(a.me)).equals(0)
      assume(await redis.client().hgetall(keys.user('ann'))).eql({ s: b.me.address })
      assume(await redis.client().exists(keys.usersOf(a.me.address))).equals(0)
    })

    it('fences off a commit that is still on its way', async () => {
      const a = await joined('a')
      a.table.add('s', spark('s'))
      await a.healer.heal(a.me)
      assume((await a.registry.commit(a.me, 1, [], ['s'])).as).equals('old')
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
      assume(await a.registry.places(['s'])).eql(['http://a'])
    })

    it('says that it failed when the life is another by now', async () => {
      const a = await joined('a')
      await redis.client().hset(keys.life('http://a'), 'id', 'another')
      assume((await rejection(a.healer.heal(a.me))).message).includes('refused what we claim')
      assume((await a.beat()).beat.as).equals('other')
    })
  })

  describe('auditing', () => {
    const haste = (): Promise<boolean> => Promise.resolve(true)

    it('puts right what no beat can see: an entry that was deleted, or names a server that does not have it', async () => {
      const [a, b] = [await joined('a'), await joined('b')]
      for (const id of ['kept', 'deleted', 'changed', 'dead']) a.connect(spark(id))
      await a.settled()
      await redis.client().hdel(keys.sparks, 'deleted')
      await redis.client().hset(keys.sparks, 'changed', b.me.address, 'dead', 'http://nobody')
      assume((await a.beat()).right).true()
      assume(await a.healer.audit(a.me, haste)).equals(3)
      assume(await a.registry.places(['kept', 'deleted', 'changed', 'dead'])).eql(Array.from({ length: 4 }, () => a.me.address))
      assume((await a.beat()).right).true()
      assume(await a.healer.audit(a.me, haste)).equals(0)
    })

    it('puts right what is exchanged, so that the number is right', async () => {
      const a = await joined('a')
      a.connect(spark('s'))
      await a.settled()
      await redis.client().multi().srem(keys.sparksOf(a.me.address), 's').sadd(keys.sparksOf(a.me.address), 'ghost')
        .hset(keys.sparks, 'ghost', a.me.address).exec()
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
      await client.multi().hdel(keys.usersOf(a.me.address), 'exchanged').hset(keys.usersOf(a.me.address), 'ghost', 'ann').exec()
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

    it('hands an entry to the server it names, which then finds that it has not got it', async () => {
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

    it('removes an entry where nobody is, and names it', async () => {
      const a = await joined('a')
      await redis.client().hset(keys.sparks, 'orphan', 'http://nobody')
      assume(await a.registry.remains.astray('http://nobody', ['orphan', 'unknown'])).eql({ handed: 0, removed: ['orphan'] })
      assume(await redis.client().hlen(keys.sparks)).equals(0)
    })

    it('keeps its hands off what somebody cleans up, and off what a server of 1.x has', async () => {
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

    /** Has an auditor that is due within `every` look once at all entries; what it reaps. `goOn`: whether it may, before it begins and after each page. */
    const auditAll = async (a: Side, every: number, goOn = () => true): Promise<unknown[]> => {
      const reaped: unknown[] = []
      let turns = 0
      const { remains } = a.registry
      const watched: ConstructorParameters<typeof Auditor>[1] = {
        turn: (...args) => { turns++; return remains.turn(...args) },
        hold: (...args) => remains.hold(...args),
        entries: cursor => remains.entries(cursor),
        lacking: owners => remains.lacking(owners),
        astray: (...args) => remains.astray(...args)
      }
      const auditor = new Auditor({ audit: () => Promise.resolve(0) }, watched, every, { healed: () => undefined, reap: (...args) => reaped.push(args) })
      await eventually(async () => { await auditor.look(a.me, goOn); return turns > 0 })
      return reaped
    }

    it('asks one script for each page of all entries, however many servers they name', async () => {
      const client = redis.client()
      const sides = await Promise.all(Array.from({ length: 40 }, (_, i) => joined(`${i}`)))
      for (const one of sides) for (let i = 0; i < 50; i++) one.connect(spark(`${one.me.address} ${i}`))
      for (const one of sides) await one.settled()
      const [a, b] = sides as [Side, Side]
      await client.hset(keys.sparks, 'orphan', 'http://nobody', 'ghost', b.me.address)
      const scripts = (): Promise<number> => calls(redis, 'eval', 'evalsha')
      const [pages, before] = [await calls(redis, 'hscan'), await scripts()]
      assume(await auditAll(a, 100)).eql([['http://nobody', ['orphan']]])
      const read = await calls(redis, 'hscan') - pages
      assume(read).is.above(3)
      // Besides one each: for its turn, and for either entry that is wrong; and whatever is sent a second time because Redis does not know it yet.
      assume(await scripts() - before - read).is.below(8)
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
      const all = await calls(redis, 'hscan') - pages
      assume(all).is.above(9)
      await client.del(keys.audit)
      let rests = 0
      await auditAll(a, 800, () => {
        if (++rests === 3) client.set(keys.audit, 'another').catch(ignore)
        return true
      })
      assume(await calls(redis, 'hscan') - pages - all).within(2, all - 1)
      assume(await client.get(keys.audit)).equals('another')
    })

    it('is one server\'s turn at a time', async () => {
      const a = await joined('a')
      assume(await a.registry.remains.turn('one', 60_000)).true()
      assume(await a.registry.remains.turn('two', 60_000)).false()
    })
  })

  describe('cleaning up', () => {
    /** How often it is looked for users when it is cleaned up after a server that left. */
    const looks = async ({ registry, me }: Side): Promise<number> => {
      const reaper = new Reaper(registry, { hold: 60_000, ...terms }, { buried: () => undefined, reap: () => undefined })
      await registry.leave(me)
      const before = await calls(redis, 'hscan')
      await reaper.clean(me, false)
      return await calls(redis, 'hscan') - before
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
    it('takes nobody for dead who leaves while it looks', async () => {
      const [a, b] = [await joined('a'), await joined('b')]
      b.connect(spark('of b'))
      await b.settled()
      const told: unknown[] = []
      const { registry } = a
      const reaper = new Reaper({
        census: async known => {
          const census = await registry.census(known)
          await b.registry.leave(b.me)
          return census
        },
        vitals: addresses => registry.vitals(addresses),
        remains: registry.remains,
        users: registry.users
      }, { hold: 60_000, ...terms }, { buried: (...args) => told.push(args), reap: (...args) => told.push(args) })
      await registry.beat(a.me, terms, 0)
      await reaper.sweep({ me: a.me, breaks: 0 })
      assume(told).eql([])
      assume(await redis.client().hgetall(keys.life(b.me.address))).eql({ id: b.me.life, state: 'left' })
      assume(await redis.client().exists(keys.sparks, keys.sparksOf(b.me.address))).equals(0)
    })
  })

  describe('joining', () => {
    it('is refused while another life has its lease, and when it is not the one that was expected', async () => {
      await joined('a')
      const second = side('a', 'second')
      assume((await second.registry.join(second.me, 0, terms, description, '', false)).as).equals('changed')
      const held = await second.registry.join(second.me, 0, terms, description, 'life-of-a', false)
      assume(held.as).equals('held')
    })

    it('puts the sparks of the former life aside, and spares those that are back', async () => {
      const a = await joined('a')
      for (const id of ['back', 'gone']) a.connect(spark(id))
      await a.settled()
      const second = side('a', 'second')
      const answer = await second.registry.join(second.me, 0, terms, description, 'life-of-a', true)
      assume(answer).eql({ as: 'joined', aside: ['life-of-a'] })
      second.writer.open(second.me, true)
      second.connect(spark('back'))
      await second.settled()
      const { ids } = await second.registry.remains.leftovers('http://a', 'life-of-a', '0')
      assume(ids).eql(['gone'])
      await second.registry.remains.clear('http://a', ids)
      await second.registry.remains.forget('http://a', 'life-of-a')
      assume(await redis.client().exists(keys.aside('http://a', 'life-of-a'))).equals(0)
      assume(await second.registry.places(['back', 'gone'])).eql(['http://a', null])
      assume(await redis.client().hget(keys.life('http://a'), 'aside')).equals('')
    })

    it('leaves the old life nothing to write', async () => {
      const a = await joined('a')
      const second = side('a', 'second')
      await second.join('life-of-a', true)
      a.connect(spark('s'))
      await a.settled()
      assume(a.writer.inDoubt).true()
      assume(await a.registry.places(['s'])).eql([null])
      assume((await a.beat()).beat.as).equals('other')
      assume(await a.registry.leave(a.me)).false()
    })
  })

  it('fails with the error of Redis when that refuses', async () => {
    const a = await joined('a')
    await redis.client().set(keys.sparks, 'no hash')
    const error = await rejection(a.registry.places(['s']))
    assume(error.code).equals('EREGISTRY')
    assume((error.cause as Error).message).includes('WRONGTYPE')
  })

  it('ends up saying what is true, whatever comes and goes in which order', async function () {
    this.timeout(60_000)
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
    await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 25 }), async steps => {
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
        const holders = [0, 1].filter(i => held[i]?.some(one => one.id === name)).map(i => `http://${i === 0 ? 'a' : 'b'}`)
        const [place] = await sides[0].registry.places([name])
        if (holders.length === 0) assume(place).equals(null)
        else assume(holders).includes(place)
        for (const one of sides) {
          const listed = await redis.client().sismember(keys.sparksOf(one.me.address), name)
          assume(listed === 1).equals(place === one.me.address)
          assume(one.table.owns(name)).equals(place === one.me.address)
        }
      }
      for (const one of sides) one.registry.close()
    }), { numRuns: 150 })
  })
})
