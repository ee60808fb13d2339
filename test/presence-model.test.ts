import { Registry } from '../lib/registry/registry'
import type { PresenceKind } from '../lib/registry/stores/presence-store'
import type { GroupCount, LifeId, Named, Renamed } from '../lib/registry/records'
import { PresenceMemory } from '../lib/sync/presence-memory'
import { assume } from './support/assume'
import { DESCRIPTION, TERMS } from './support/description'
import { Dice } from './support/dice'
import { using } from './support/dispose'
import { namespace } from './support/namespace'
import { startRedis, type RedisProcess } from './support/redis'

/** How many random stories are told of each kind of fault, and how many steps one has. */
const [RUNS, STEPS] = [Number(process.env['METROPLEX_PRESENCE_RUNS'] ?? 12), 120]

/** What was written so long ago counts as told, in ms of the clock of the story. */
const SOON = 1000

/** Stories that were told wrongly once. */
const KNOWN = [40, 164, 5138]

const nothing = (): void => undefined
const NAMES = ['a', 'b', 'c']

/** A write on its way to Redis. */
type Write = () => Promise<{ as: string }>

/** A server of a story: what it has, and what it has not written yet. It may be alive, dead, or buried alive. */
class Server {
  readonly registry: Registry
  readonly memory: PresenceMemory
  state: 'up' | 'dead' | 'buried' = 'up'
  me: LifeId
  /** How many of its sparks have each name, with its kind. */
  readonly here = new Map<string, number>()
  /** Names whose number has changed. */
  readonly changed = new Set<string>()
  doubt = false
  aside: string[] = []
  #seq = 0
  #lives = 0

  constructor(
    redis: RedisProcess,
    space: string,
    readonly nth: number,
    told: (announcements: readonly string[]) => void
  ) {
    this.me = { address: `http://${nth}`, life: '' }
    this.registry = Registry.open(
      redis.client(),
      space,
      { timeout: 20_000, name: 'test', grace: 0 },
      { ready: nothing, lost: nothing, endangered: nothing, secured: nothing }
    )
    using(() => this.registry.close())
    const { presence } = this.registry
    Object.assign(presence, { patience: SOON / 2, turn: 0 })
    const count = (kind: PresenceKind): { count(of: string): number } => ({
      count: of => this.here.get(kind + of) ?? 0
    })
    this.memory = new PresenceMemory(presence, 0, { u: count('u'), g: count('g') })
    // Every announcement is due at once, so that the clock of Redis plays no part.
    Object.assign(presence, { patience: 0 })
    presence.listener = { listening: true, hear: told }
  }

  /** Write, while the answer gets lost. */
  async deaf(write: Write): Promise<{ as: string }> {
    const { presence } = this.registry
    const { witness, listener } = presence
    presence.witness = presence.listener = undefined
    try {
      return await write()
    } finally {
      Object.assign(presence, { witness, listener })
    }
  }

  /** Begin a life; the former one is put aside. */
  async begin(): Promise<void> {
    const { life: former } = this.me
    this.me = { ...this.me, life: `life-${this.nth}-${++this.#lives}` }
    this.#seq = 0
    if (former !== '') this.aside.push(former)
    assume((await this.registry.join(this.me, 0, TERMS, DESCRIPTION, former, true)).as).equals('joined')
    this.memory.open(this.me.life, false)
    this.state = 'up'
    this.doubt = former !== ''
  }

  /** Join again after a loss of the registry. */
  async rejoin(): Promise<void> {
    assume((await this.registry.join(this.me, this.#seq, TERMS, DESCRIPTION, '', false)).as).equals('joined')
    this.memory.open(this.me.life, true)
    this.aside = []
    this.doubt = true
  }

  set(name: string, count: number): void {
    this.here.set(name, count)
    this.changed.add(name)
  }

  /** Take what has changed, as a write that has the next number. */
  take(): Write[] {
    const names = [...this.changed]
    this.changed.clear()
    for (const kind of ['u', 'g'] as const) {
      const own = names.filter(name => name.startsWith(kind)).map(name => name.slice(1))
      this.memory.sending(kind, own)
    }
    const groups = names.filter(name => name.startsWith('g')).map((name): GroupCount => [name.slice(1), this.#of(name)])
    const renamed = names.filter(name => name.startsWith('u')).flatMap(name => this.#renamed(name))
    const { me, registry } = this
    const writes: Write[] = []
    if (groups.length > 0) {
      const seq = ++this.#seq
      writes.push(() => registry.groups.commit(me, seq, groups))
    }
    if (renamed.length > 0) {
      const seq = ++this.#seq
      writes.push(() => registry.users.commit(me, seq, renamed))
    }
    return writes
  }

  /** Make the registry right, as the healer does. */
  async heal(): Promise<void> {
    const { registry, me } = this
    this.changed.clear()
    const ok = (written: { as: string }): void => {
      assume(written.as).equals('ok')
    }
    ok(await registry.groups.claim(me, ++this.#seq, []))
    const users = await registry.users.page(me.address, '0')
    const wrong = users.items.filter(([id, user]) => !this.#ids(`u${user}`).includes(id))
    ok(
      await registry.users.commit(
        me,
        ++this.#seq,
        wrong.map(([id, from]) => ({ id, from, to: undefined }))
      )
    )
    const named = NAMES.flatMap(name => this.#ids(`u${name}`).map((id): Named => [id, name]))
    ok(await registry.users.claim(me, ++this.#seq, named))
    const groups = await registry.groups.page(me.address, '0')
    const gone = groups.items.filter(([group]) => this.#of(`g${group}`) === 0)
    ok(await registry.groups.commit(me, ++this.#seq, gone))
    const counts = NAMES.map((name): GroupCount => [name, this.#of(`g${name}`)]).filter(([, count]) => count > 0)
    ok(await registry.groups.claim(me, ++this.#seq, counts))
    await this.memory.noteDoubts(me)
    this.memory.healed()
    this.doubt = false
  }

  /** Remove what former lives of this server left behind. */
  async clear(): Promise<void> {
    const { users, groups } = this.registry
    for (const life of this.aside) {
      await users.clear(this.me.address, (await users.page(this.me.address, '0', life)).items)
      await groups.clear(this.me.address, (await groups.page(this.me.address, '0', life)).items)
    }
  }

  #of(name: string): number {
    return this.here.get(name) ?? 0
  }

  /** The ids of our sparks that have this user. */
  #ids(name: string): string[] {
    return Array.from({ length: this.#of(name) }, (_, i) => `${this.nth} ${name} ${i}`)
  }

  /** All of the two sparks that may have this user, as they are now. */
  #renamed(name: string): Renamed[] {
    const user = name.slice(1)
    const ids = this.#ids(name)
    return [0, 1].map(i => {
      const id = `${this.nth} ${name} ${i}`
      return { id, from: user, to: ids.includes(id) ? user : undefined }
    })
  }
}

/** What happens besides writes: nothing is flushed where servers die, because then what they had is lost for good. */
type Faults = 'deaths' | 'losses'

/** A random story of three servers. */
class Story {
  readonly told: { sign: string; name: string; at: number }[] = []
  readonly log: string[] = []
  readonly #servers: Server[]
  readonly #dice: Dice
  readonly #stuck: (readonly [server: Server, write: Write])[] = []
  /** Announcements that are told, and not acknowledged. */
  readonly #settled: string[] = []
  readonly #client: ReturnType<RedisProcess['client']>

  constructor(
    redis: RedisProcess,
    private readonly space: string,
    private readonly faults: Faults,
    seed: number,
    private readonly pass: (ms: number) => void
  ) {
    this.#dice = new Dice(seed)
    this.#client = redis.client()
    this.#servers = [1, 2, 3].map(
      nth =>
        new Server(redis, space, nth, announcements => {
          // A process may die before it has told what came with its write.
          if (this.#dice.roll() < 0.7) this.#tell(announcements)
        })
    )
  }

  async run(): Promise<void> {
    for (const server of this.#servers) await server.begin()
    for (let step = 0; step < STEPS; step++) await this.#step()
    await this.#end()
    this.#check()
    await this.#compare()
  }

  async #step(): Promise<void> {
    const server = this.#dice.one(this.#servers)
    const chance = this.#dice.roll()
    const { nth, state } = server
    if (chance < 0.4) {
      if (state === 'dead') return
      const name = this.#dice.one(['u', 'g']) + this.#dice.one(NAMES)
      const count = Math.max(0, Math.min(2, (server.here.get(name) ?? 0) + (this.#dice.roll() < 0.5 ? 1 : -1)))
      server.set(name, count)
      this.log.push(`${nth}: ${name} = ${count}`)
    } else if (chance < 0.65) {
      if (state !== 'dead' && !server.doubt) await this.#commit(server)
    } else if (chance < 0.68) {
      await this.#arrive()
    } else if (chance < 0.75) {
      if (state === 'up' && server.doubt) await this.#heal(server)
    } else if (chance < 0.8) {
      if (this.faults === 'deaths') await this.#die(server)
      else if (this.#dice.roll() < 0.3) await this.#lose()
    } else if (chance < 0.86) {
      if (state !== 'up') await this.#return(server)
    } else if (chance < 0.88) {
      await this.#wait()
    } else {
      await this.#teach()
    }
  }

  async #commit(server: Server): Promise<void> {
    for (const write of server.take()) {
      const chance = this.#dice.roll()
      if (chance < 0.1) {
        this.#stuck.push([server, write])
        server.doubt = true
        this.log.push(`${server.nth}: a write is stuck`)
        continue
      }
      if (chance < 0.2) {
        const { as } = await server.deaf(write)
        server.doubt = true
        this.log.push(`${server.nth}: writes, ${as}, and the answer is lost`)
        continue
      }
      // The answer to a late or refused write is that of a failure.
      const { as } = await write()
      if (as !== 'ok') server.doubt = true
      this.log.push(`${server.nth}: writes, ${as}`)
    }
  }

  async #arrive(): Promise<void> {
    const [server, write] = this.#stuck.shift() ?? []
    if (server === undefined || write === undefined) return
    const { as } = await server.deaf(write)
    this.log.push(`a stuck write arrives, ${as}`)
  }

  async #heal(server: Server): Promise<void> {
    await server.heal()
    await server.clear()
    this.log.push(`${server.nth}: heals`)
  }

  async #die(server: Server): Promise<void> {
    if (server.state !== 'up') return
    server.state = this.#dice.roll() < 0.5 ? 'dead' : 'buried'
    if (server.state === 'dead') {
      server.here.clear()
      server.changed.clear()
    }
    const client = this.#client
    const { address } = server.me
    await client.hset(`${this.space}:${address}:life`, 'state', 'dead')
    await client.del(`${this.space}:${address}:lease`, `${this.space}:${address}`)
    this.log.push(`${server.nth}: is ${server.state}`)
    const reaper = this.#servers.find(one => one.state === 'up')
    if (reaper === undefined || this.#dice.roll() < 0.3) return
    const { users, groups } = reaper.registry
    const named = (await users.page(address, '0')).items
    await users.reap(server.me, this.#dice.roll() < 0.3 ? named.slice(0, 1) : named)
    await groups.reap(server.me, (await groups.page(address, '0')).items)
    this.log.push(`${server.nth}: is reaped`)
  }

  async #return(server: Server): Promise<void> {
    await server.begin()
    server.doubt = true
    this.log.push(`${server.nth}: begins another life`)
  }

  /** Redis loses its data, and all servers join again at once or later. */
  async #lose(): Promise<void> {
    await this.#client.flushall()
    this.log.push('Redis loses its data')
    this.#settled.length = 0
    for (const server of this.#servers) await server.rejoin()
  }

  /** So much time passes that everything is told which could be, and Redis answers the beats of all servers. */
  async #wait(): Promise<void> {
    await this.#teachAll()
    this.pass(2 * SOON)
    for (const server of this.#servers) if (server.state === 'up' && !server.doubt) server.memory.heard()
    this.log.push('time passes')
  }

  async #teachAll(): Promise<void> {
    for (let round = 0; round < 4; round++) await this.#teach(1)
  }

  /** One of the servers tells what is due. It may die before it has told, or before it says so. */
  async #teach(chance = this.#dice.roll()): Promise<void> {
    const { presence } = this.#dice.one(this.#servers).registry
    const client = this.#client
    await client.del(`${this.space}:teller`)
    // Its turn would end with the step otherwise.
    await client.set(`${this.space}:teller`, 'a process')
    await presence.acknowledge(this.#settled.splice(0))
    const names = await client.zrange(`${this.space}:leaving`, '0', '-1')
    const announcements = await client.zrange(`${this.space}:untold`, '0', '-1')
    const taken = await presence.take('a process', { names, announcements })
    if (chance < 0.15) return
    this.#tell(taken)
    if (chance < 0.3) this.#settled.splice(-taken.length)
  }

  #tell(announcements: readonly string[]): void {
    for (const announcement of announcements) {
      const [, sign = '', at, name = ''] = /^([+-])(\d+) (?:\d+ )?(.*)$/.exec(announcement) ?? []
      this.told.push({ sign, name, at: Number(at) })
      this.#settled.push(announcement)
      this.log.push(`told: ${announcement}`)
    }
  }

  /** All faults end, and everything is told. */
  async #end(): Promise<void> {
    while (this.#stuck.length > 0) await this.#arrive()
    for (const server of this.#servers) if (server.state !== 'up') await this.#return(server)
    for (const server of this.#servers) await this.#heal(server)
    await this.#teachAll()
    const client = this.#client
    assume(await client.exists(`${this.space}:untold`)).equals(0)
    const left = await client.zrange(`${this.space}:leaving`, '0', '-1')
    assume(left.filter(name => !name.startsWith('!'))).eql([])
  }

  /** What was told last of each name is true, and two events never have one number. */
  #check(): void {
    for (const name of NAMES.flatMap(name => [`u${name}`, `g${name}`])) {
      const events = this.told.filter(one => one.name === name).sort((x, y) => x.at - y.at)
      const there = this.#servers.some(({ here }) => (here.get(name) ?? 0) > 0)
      assume(events.at(-1)?.sign ?? '-').equals(there ? '+' : '-', `the last event of ${name}`)
      const signs = new Map<number, string>()
      for (const { at, sign } of events) {
        assume(signs.get(at) ?? sign).equals(sign)
        signs.set(at, sign)
      }
    }
  }

  /** The registry has what the servers have. */
  async #compare(): Promise<void> {
    const client = this.#client
    for (const name of NAMES) {
      const counts = new Map(this.#servers.map(({ me, here }) => [me.address, here.get(`g${name}`) ?? 0]))
      const found = await client.hgetall(`${this.space}:group:${name}`)
      for (const [address, count] of counts) assume(Number(found[address] ?? 0)).equals(count)
      const sparks = this.#servers.reduce((sum, { here }) => sum + (here.get(`u${name}`) ?? 0), 0)
      assume(await client.hlen(`${this.space}:user:${name}`)).equals(sparks)
    }
  }
}

describe('a random story of users and groups that begin and end', function () {
  this.timeout(600_000)
  let redis: RedisProcess

  before(async () => {
    redis = await startRedis({ scope: 'suite' })
  })
  after(() => redis.stop())

  for (const faults of ['deaths', 'losses'] as const) {
    const over = faults === 'deaths' ? 'deaths of servers' : 'losses of all data'
    it(`ends with the truth, over ${over} and stuck writes`, async () => {
      const now = performance.now.bind(performance)
      let ahead = 0
      performance.now = () => ahead + now() / 1000
      using(() => {
        performance.now = now
      })
      const first = Number(process.env['METROPLEX_PRESENCE_SEED'] ?? 1)
      const seeds = [...Array.from({ length: RUNS }, (_, i) => first + i), ...KNOWN]
      for (const seed of seeds) {
        const story = new Story(redis, namespace(), faults, seed, ms => {
          ahead += ms
        })
        await story.run().catch((error: unknown) => {
          throw new Error(`seed ${seed}: ${(error as Error).message}\n${story.log.join('\n')}`, { cause: error })
        })
      }
    })
  }
})
