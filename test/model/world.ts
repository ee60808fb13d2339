import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import metroplex, { type Metroplex, type Spark } from '../../index'
import { ignore } from '../../lib/common/callback'
import type { Primus } from '../../lib/common/types'
import { SparkReconciler } from '../../lib/plugin/spark-reconciler'
import { randomTag, taggedIds } from '../../lib/lookup/id-tags'
import { FULL } from '../support/full'
import { namespace } from '../support/namespace'
import { startProxy, type TcpProxy } from '../support/proxy'
import { Control } from './control'
import type { Model } from './model'
import { Rules, type Limit } from './rules'
import { Rumours, type Listener } from './rumours'
import { GROUPS, sample, sampleGroups, sampleUsers, surplus, USERS, type Sample } from './sample'
import type { Stage } from './stage'
import { AUDIT, BEAT, LEASE, QUICK, SETTLE, SLOW, TIMEOUT } from './times'

/** Pause between two looks at the registry, in ms. */
const LOOK = 30

/** How long it takes until what we have not heard of is noticed, in ms: two looks, and the one that is under way. */
const UNHEARD = 3 * BEAT

/** The user of Redis that the servers are. */
const USER = 'servers'

/** How many ids are asked for one by one. */
const FEW = 5

/** How long things took, in ms; the worst of each. */
export interface Worst {
  /** The registry was wrong about a server whose connection was whole. */
  quick: number
  /** The same, after its connection was harmed. */
  slow: number
  /** All was right again, once the network was whole. */
  settled: number
}

/** One start of one server: a Metroplex with a network of its own. */
interface Start extends Listener {
  readonly server: number
  readonly proxy: TcpProxy
  /** The client of the application. */
  readonly client: Redis
  readonly metroplex: Metroplex
  /** What stands in for Primus, whose events may not reach us. */
  readonly reconciler: SparkReconciler
  readonly sparks: Map<number, OneSpark>
  /** An id as its Primus would make it: with the tag of this start. */
  readonly tagged: string
  /** Since when nothing has been done to it, in epoch ms. */
  calm: number
  /** Its connection was harmed, and it has not been right since. */
  harmed: boolean
  /** Sparks that it has said to end because of their users. */
  readonly refused: Set<object>
  /** It may know a spark that has ended: one that connects under the same id then has the user of that one. */
  muddled: boolean
}

/** A spark; `readyState` is 2 when it has ended. */
interface OneSpark extends Spark {
  readyState: number
}

/**
 * The real system: servers, each behind a proxy of its own, and a Redis.
 *
 * While it exists it looks at the registry all the time, and keeps a list of what is wrong: what the registry says for
 * too long of a server that lives and can be reached, and what servers tell of others that is not so.
 */
export class World {
  /** What has gone wrong; empty in a good run. */
  readonly wrongs: string[] = []
  readonly worst: Worst = { quick: 0, slow: 0, settled: 0 }

  readonly #space = namespace()
  readonly #current = new Map<number, Start>()
  readonly #all: Start[] = []
  readonly #closing: Promise<unknown>[] = []
  readonly #rumours: Rumours
  /** What is wrong of a server that can be reached, and since when. */
  #faults = new Map<string, number>()
  /** When an id was last connected or disconnected anywhere. */
  readonly #touched = new Map<string, number>()
  /** Until when several servers may hold one id without being at fault, by id. */
  readonly #contested = new Map<string, number>()
  /** Ids that a server took from another one that still has them; by id, when. */
  readonly #taken = new Map<string, { by: Start; at: number }>()
  /**
   * Of those, the ones whose former server may not know it, because the new one ended too soon to tell, or Redis forgot
   * it: only an audit finds them.
   */
  readonly #untold = new Set<string>()
  /** Ids that died with their server, and have to be named. */
  readonly #owed = new Map<string, string>()
  /** What the servers have to say to Redis, and how often that has changed. */
  #password = 'password 0'
  #passwords = 0
  readonly #watching: Promise<void>
  /** The plugin lets the reconciler look with each beat. */
  readonly #looks = setInterval(() => {
    for (const { reconciler } of this.#all) reconciler.look()
  }, BEAT)
  readonly #control: Control
  readonly #rules: Rules
  #over = false
  /** Until when Redis was full, in epoch ms. What has connected until then need not be registered. */
  #full = -Infinity

  constructor(
    private readonly stage: Stage,
    private readonly model: Model,
    limit?: Limit
  ) {
    this.#rumours = new Rumours(stage.addresses, LEASE, wrong => {
      this.#wrong(wrong)
    })
    this.#control = new Control(stage.client)
    this.#rules = new Rules(limit, this.#control, wrong => {
      this.#wrong(wrong)
    })
    this.#watching = this.#watch()
  }

  /** Start a server, on the address of an earlier one of this number. */
  async start(server: number): Promise<void> {
    const door = this.stage.door(server)
    await this.#admit()
    const proxy = await startProxy({ port: this.stage.redis.port })
    // Never connected: we talk through duplicates of it.
    const client = new Redis(proxy.port, { lazyConnect: true, username: USER, password: this.#password })
    const sparks = new Map<number, OneSpark>()
    const { limit } = this.#rules
    const one = new metroplex(standIn(sparks), {
      redis: client,
      namespace: this.#space,
      address: door.address,
      interval: 60_000,
      metroplex: { lease: LEASE, timeout: TIMEOUT, ...(limit && { limit }) }
    })
    const tag = randomTag()
    one.core.tag = () => tag
    one.on('refused', (spark, user, why) => {
      start.refused.add(spark)
      if (start.ended === false) this.#rules.refused(server, spark.id, user, why)
    })
    const reconciler = new SparkReconciler({
      connected: () => sparks.size,
      tables: () => one.core.shards.sparks.tables,
      ended: ({ readyState }) => readyState === 2,
      missed: spark => {
        one.connect(spark)
      },
      gone: spark => {
        one.disconnect(spark)
      }
    })
    const start: Start = {
      client,
      name: `${server}#${this.model.at(server).starts}`,
      server,
      address: door.address,
      proxy,
      metroplex: one,
      reconciler,
      sparks,
      tagged: taggedIds(tag)(),
      calm: Date.now(),
      harmed: true,
      muddled: false,
      refused: new Set(),
      ended: false,
      holds: id => this.model.holds(server, id)
    }
    this.#touchAll(start)
    door.server = one
    this.#current.set(server, start)
    this.#all.push(start)
    this.#rumours.listen(start, one, ids => {
      for (const id of ids) this.#owed.delete(id)
    })
    this.#count()
  }

  /** Stop a server properly; its sparks have been ended before. */
  async stop(server: number): Promise<void> {
    const start = this.#end(server)
    start.reconciler.close()
    for (const spark of start.sparks.values()) start.metroplex.disconnect(spark)
    await start.metroplex.close()
    this.stage.door(server).server = undefined
  }

  /** A server dies: from now on nothing of it reaches any peer. */
  async die(server: number, gone: () => void): Promise<void> {
    const held = [...this.model.at(server).ids.keys()]
    const start = this.#end(server)
    this.#silence(start)
    gone()
    this.#count()
    this.stage.door(server).server = undefined
    // The second answer comes after all that was on its way.
    await this.#look()
    const { sparks, entries } = await this.#look()
    for (const id of held) {
      const known = sparks.get(id) === start.address && entries[server]?.sparks.has(id) === true
      if (known && this.model.holders(id).length === 0) this.#owed.set(id, start.address)
    }
    this.#closing.push(start.metroplex.close())
  }

  /** A spark connects. @param heard whether we hear of it: a listener before ours may throw */
  connect(server: number, spark: number, id: string, heard = true): void {
    const start = this.#at(server)
    const one: OneSpark = Object.assign(Object.create(PROTOTYPE) as object, {
      id,
      readyState: 1,
      write: () => true,
      end: (_data: unknown, options?: { reconnect?: boolean }) => {
        this.#endSoon(start, spark, one, options?.reconnect === true)
        return null
      }
    })
    // What a server has already, it does not take from another one.
    const had = [...start.sparks.values()].some(other => other.id === id)
    start.sparks.set(spark, one)
    start.reconciler.announce(one)
    this.#touched.set(id, Date.now() + (heard ? 0 : UNHEARD))
    if (!had && this.model.holders(id).length > 1) this.#taken.set(id, { by: start, at: Date.now() })
    this.#owed.delete(id)
    this.#count()
    if (!heard) return
    start.reconciler.arrived(one)
    start.metroplex.connect(one)
  }

  /**
   * A spark goes.
   *
   * @param heard whether we hear of it
   * @returns whether the server has heard of another spark with its id
   */
  disconnect(server: number, spark: number, heard = true): boolean {
    const start = this.#at(server)
    const one = start.sparks.get(spark)
    if (one === undefined) throw new Error(`server ${server} has no spark ${spark}`)
    start.sparks.delete(spark)
    this.#touched.set(one.id, Date.now() + (heard ? 0 : UNHEARD))
    one.readyState = 2
    if (!heard) start.muddled = true
    if (heard) start.metroplex.disconnect(one)
    this.#count()
    const left = this.#heard(server, one.id)
    if (!left) this.#rules.named(server, one.id, undefined)
    return left
  }

  /** The user of an id becomes another one. @returns whether the server has heard of the id */
  identify(server: number, id: string, user: string | undefined): boolean {
    if (!this.#heard(server, id)) return false
    const { metroplex, refused } = this.#at(server)
    const before = refused.size
    metroplex.identify(id, user).catch(ignore)
    // A user that is kept out ends the spark at once, and is never its user.
    if (refused.size > before) return false
    this.#rules.named(server, id, user)
    return true
  }

  /** The sparks of a user are ended, and the user is kept out for so many ms; 0 lets it in again. */
  async bar(server: number, user: string, ms: number): Promise<void> {
    const told = this.#rules.ordered(user, ms)
    const asked = [...this.#current.values()]
    const known = await this.#at(server).metroplex.endUser(user, { for: ms }).catch(ignore)
    if (known === undefined) {
      told(undefined, false)
      return
    }
    const failed = new Set(known.failed?.map(({ address }) => address))
    const those = asked.filter(({ address, ended }) => ended === false && !failed.has(address))
    told(new Set(those), failed.size === 0 && those.length === this.#current.size)
  }

  /** A server evens out its sparks; what comes of it is not awaited. */
  balance(server: number): void {
    this.#at(server).metroplex.balance({ tolerance: 0, rate: 1000 }).catch(ignore)
  }

  /** An id enters a group, or leaves it. @returns whether the server has heard of the id */
  change(server: number, id: string, group: string, entered: boolean): boolean {
    const heard = this.#heard(server, id)
    const { groups } = this.#at(server).metroplex.core.shards
    if (heard) groups.change(entered ? 'enter' : 'exit', [id], [group], 'connected').written.catch(ignore)
    return heard
  }

  #heard(server: number, id: string): boolean {
    const { metroplex, sparks } = this.#at(server)
    const known = new Set(metroplex.core.shards.sparks.tables.flatMap(table => [...table.sparks()]))
    return [...sparks.values()].some(one => one.id === id && one.readyState !== 2 && known.has(one))
  }

  /** Redis refuses what needs memory, or no longer. */
  async fill(full: boolean): Promise<void> {
    await this.stage.client.config('SET', 'maxmemory', full ? FULL : '0')
    this.#full = full ? Infinity : Date.now()
  }

  /** Nothing goes through a server's connection any more, until `thaw`; `replies`: it is heard, and hears nothing. */
  freeze(server: number, replies = false): void {
    const { proxy } = this.#harm(server)
    if (replies) proxy.freezeReplies()
    else proxy.freeze()
  }

  thaw(server: number): void {
    this.#harm(server).proxy.thaw()
  }

  cut(server: number): void {
    this.#harm(server).proxy.cut()
  }

  loseReply(server: number, cut: boolean): void {
    const start = this.#harm(server)
    start.proxy.dropNextReply({ cut })
    // It strikes with the next beat, and is noticed at the deadline.
    start.calm += BEAT + TIMEOUT
  }

  async flush(): Promise<void> {
    await this.stage.client.flushall()
    this.#lost()
  }

  /** Redis is killed, and there again; with what it had, or empty. */
  async restart(empty: boolean): Promise<void> {
    // It is saved before it is killed: what was told in between was heard, and is forgotten.
    for (const [id, { at }] of this.#taken) if (!empty && Date.now() - at < BEAT) this.#untold.add(id)
    for (const { server } of this.#current.values()) this.#harm(server)
    this.#control.skip()
    await this.stage.redis.restart({ empty })
    this.#control.skip()
    this.#full = Math.min(this.#full, Date.now())
    // Redis keeps its users in memory alone.
    await this.#admit()
    for (const { server } of this.#current.values()) this.#harm(server)
    if (empty) this.#lost()
  }

  /**
   * Redis takes another password, and breaks all connections of the servers; the applications set it so many ms later.
   */
  async rekey(ms: number): Promise<void> {
    const harm = (): void => {
      for (const { server } of this.#current.values()) this.#harm(server)
    }
    harm()
    this.#password = `password ${++this.#passwords}`
    await this.#admit()
    await this.stage.redis.ask(redis => redis.call('CLIENT', 'KILL', 'USER', USER))
    await sleep(ms)
    for (const { client } of this.#current.values()) client.options.password = this.#password
    harm()
  }

  /** Redis stands still for so long. */
  async outage(ms: number): Promise<void> {
    for (const { server } of this.#current.values()) this.#harm(server)
    this.#control.skip()
    this.stage.redis.pause()
    await sleep(ms)
    this.stage.redis.resume()
    this.#control.skip()
    for (const { server } of this.#current.values()) this.#harm(server)
  }

  /** The address of a server leads elsewhere for so long: to another server, which claims it. */
  async mislead(server: number, ms: number): Promise<void> {
    const { address, harmed, metroplex: own } = this.#at(server)
    // One that has not registered, or cannot beat, has no better claim.
    const lease = (await this.#look()).entries[server]?.lease
    if (harmed || own.id === '' || lease !== own.id) return
    this.#harm(server)
    const door = this.stage.door(server)
    const rival = new metroplex(
      {},
      {
        redis: new Redis(this.stage.redis.port, { lazyConnect: true }),
        namespace: this.#space,
        address,
        interval: 60_000,
        metroplex: { lease: LEASE, timeout: TIMEOUT }
      }
    )
    rival.connect({ id: 'rival', readyState: 1, write: () => true, end: () => null })
    door.server = rival
    await sleep(ms)
    await rival.close()
    door.server = own
    this.#harm(server)
  }

  /** Throw if anything has gone wrong so far. */
  verify(): void {
    if (this.wrongs.length > 0) throw new Error(this.wrongs.join('\n'))
  }

  /** The network is whole again: within a bounded time all says what is there, and goes on saying so. */
  async settle(): Promise<void> {
    for (const server of this.model.up()) {
      const one = this.model.at(server)
      if (one.frozen) this.thaw(server)
      one.frozen = false
    }
    await this.fill(false)
    // What was stopped meanwhile may still have something on its way.
    for (const { proxy, ended } of this.#all) if (ended !== 'died') proxy.thaw()
    if (this.model.up().length === 0) {
      // A live server has to clean up after the dead one.
      this.model.start(0)
      await this.start(0)
    }
    // Where a spark that had to go could not be ended, an audit enters it again, and it is over the limit again.
    const bound = this.#untold.size > 0 || this.#rules.limit !== undefined ? AUDIT : SETTLE
    const began = Date.now()
    let last: string[] = []
    let right = 0
    for (;;) {
      const now = Date.now()
      last = await this.#differences()
      this.verify()
      if (last.length > 0) right = 0
      else if (right === 0) right = now
      else if (now - right > 2 * BEAT) break
      const lost = this.#control.lost(began)
      if (last.length > 0 && now - began - lost > bound) {
        const times = `${Math.round(now - began)} ms after the network was whole, of which the machine took ${lost}`
        throw new Error(`${times}:\n${last.join('\n')}`)
      }
      await sleep(LOOK)
    }
    if (bound === SETTLE) this.worst.settled = Math.max(0, right - began - this.#control.lost(began))
    this.#rumours.conclude(this.model.up().map(server => this.#at(server)))
    for (const [id, address] of this.#owed) this.#wrong(`${id} died with ${address}, and no server has named it`)
    this.verify()
  }

  /** End all that is left. */
  async close(): Promise<void> {
    this.#over = true
    clearInterval(this.#looks)
    await this.#watching
    await this.#control.stop()
    await this.fill(false)
    for (const start of this.#current.values()) {
      start.ended = 'stopped'
      start.reconciler.close()
    }
    await Promise.all([...this.#closing, ...[...this.#current.values()].map(({ metroplex }) => metroplex.close())])
    for (const door of this.stage.doors) door.server = undefined
    await Promise.all(this.#all.map(({ proxy }) => proxy.stop()))
    const keys = await this.stage.client.keys(`${this.#space}:*`)
    if (keys.length > 0) await this.stage.client.del(keys)
  }

  #at(server: number): Start {
    const start = this.#current.get(server)
    if (start === undefined) throw new Error(`server ${server} is not there`)
    return start
  }

  #end(server: number): Start {
    const start = this.#at(server)
    this.#current.delete(server)
    start.ended = 'stopped'
    this.#rules.left(server, start)
    this.#count()
    this.#touchAll(start)
    for (const [id, { by, at }] of this.#taken)
      if (by === start && (start.harmed || Date.now() - at < QUICK)) this.#untold.add(id)
    return start
  }

  /**
   * What it sends and what it is sent vanishes. Its port stays taken, so that it never finds another test's Redis
   * there.
   */
  #silence(start: Start): void {
    start.ended = 'died'
    start.reconciler.close()
    start.proxy.freeze()
    start.proxy.cut()
  }

  /** Redis lets servers in with the password of now. */
  async #admit(): Promise<void> {
    await this.stage.redis.ask(redis =>
      redis.call('ACL', 'SETUSER', USER, 'on', 'resetpass', `>${this.#password}`, '~*', '&*', '+@all')
    )
  }

  #harm(server: number): Start {
    const start = this.#at(server)
    start.harmed = true
    start.calm = Date.now()
    return start
  }

  /** Redis has forgotten all. */
  #lost(): void {
    this.#owed.clear()
    this.#rumours.forgotten()
    this.#rules.forgotten()
    const now = Date.now()
    for (const start of this.#current.values()) start.calm = now
  }

  /** A server ends a spark. Its disconnection follows, as that of Primus does. */
  #endSoon(start: Start, spark: number, one: OneSpark, reconnect: boolean): void {
    if (one.readyState === 2) return
    one.readyState = 2
    const { server } = start
    if (start.ended === false && !start.refused.has(one)) {
      if (reconnect) this.#rules.balanced(server, one.id)
      else this.#rules.out(server, one.id)
    }
    setImmediate(() => {
      if (start.ended !== false || !start.sparks.has(spark)) return
      this.model.disconnect(server, spark)
      if (!this.disconnect(server, spark)) this.model.forget(server, one.id)
    })
  }

  /** How many sparks the servers have has changed. */
  #count(): void {
    this.#rules.counted(new Map(this.model.up().map(server => [server, this.model.at(server).ids.size])))
  }

  /** All that was said of this server's sparks changes now. */
  #touchAll({ sparks }: Start): void {
    const now = Date.now()
    for (const { id } of sparks.values()) this.#touched.set(id, now)
  }

  #wrong(what: string): void {
    if (!this.wrongs.includes(what)) this.wrongs.push(what)
  }

  #look(): Promise<Sample> {
    return sample(this.stage.client, this.#space, this.stage.addresses)
  }

  async #watch(): Promise<void> {
    while (!this.#over) {
      const asked = Date.now()
      const seen = await this.#look()
      this.#judge(seen, asked)
      await sleep(LOOK)
    }
  }

  /** Compare a sample with what is there, for each server that can be reached. */
  #judge(seen: Sample, asked: number): void {
    seen.entries.forEach(({ life, stamp }, server) => this.#rumours.beaten(server, life, stamp))
    for (const id of seen.sparks.keys()) this.#contest(id, seen, asked)
    const faults = new Map<string, number>()
    for (const start of this.#current.values()) {
      if (this.model.at(start.server).frozen) continue
      const wrong = this.#about(start, seen)
      if (wrong.length === 0 && (seen.entries[start.server]?.stamp ?? 0) > start.calm) start.harmed = false
      for (const [what, id] of wrong) {
        if (id !== undefined && this.#untold.has(id)) continue
        const key = `${start.name}: ${what}`
        const since = Math.max(this.#faults.get(key) ?? asked, start.calm, id === undefined ? 0 : this.#since(id))
        faults.set(key, since)
        const age = asked - since - this.#control.lost(since)
        const kind = start.harmed ? 'slow' : 'quick'
        this.worst[kind] = Math.max(this.worst[kind], age)
        if (age > (start.harmed ? SLOW : QUICK)) this.#wrong(`${key}, for ${Math.round(age)} ms`)
      }
    }
    this.#faults = faults
  }

  #since(id: string): number {
    return Math.max(this.#touched.get(id) ?? 0, this.#contested.get(id) ?? 0, Math.min(this.#full, Date.now()))
  }

  /** Who has an id is open as long as several have it, or one that has died is still believed in. */
  #contest(id: string, { sparks, entries }: Sample, now: number): void {
    const owner = this.stage.addresses.indexOf(sparks.get(id) ?? '')
    const believed = owner >= 0 && !this.model.holds(owner, id) && entries[owner]?.lease !== ''
    if (this.model.holders(id).length > 1 || (believed && !this.model.at(owner).up)) this.#contested.set(id, now)
  }

  /** What a sample says wrong of a server, with the id that it is about. */
  #about(
    { server, address, metroplex }: Start,
    { servers, lives, sparks, entries }: Sample
  ): [what: string, id?: string][] {
    const entry = entries[server]
    const { ids } = this.model.at(server)
    const wrong: [string, string?][] = []
    if (!servers.has(address)) wrong.push(['is not on the list'])
    if (!lives.has(address)) wrong.push(['is not among the lives'])
    if (entry === undefined || entry.life !== metroplex.id || entry.state !== 'up' || !entry.alive)
      wrong.push(['has no life'])
    if (entry?.lease !== metroplex.id || metroplex.id === '') wrong.push(['has no lease'])
    for (const id of ids.keys()) {
      const place = sparks.get(id)
      const holders = this.model.holders(id).map(holder => this.stage.addresses[holder])
      if (place === undefined || !holders.includes(place)) wrong.push([`${id} is at ${place ?? 'no server'}`, id])
      else if (place === address && entry?.sparks.has(id) !== true) wrong.push([`${id} is missing from its set`, id])
    }
    for (const id of entry?.sparks ?? [])
      if (!ids.has(id) || sparks.get(id) !== address) wrong.push([`${id} is too much in its set`, id])
    for (const [id, place] of sparks) if (place === address && !ids.has(id)) wrong.push([`${id} is too much`, id])
    return wrong
  }

  /** In how far what the registry says, and what each server answers, is not what is there. */
  async #differences(): Promise<string[]> {
    const { addresses, client } = this.stage
    const seen = await this.#look()
    const living = this.model.up().map(server => this.#at(server))
    const there = living.map(({ address }) => address).sort()
    const wrong: string[] = []
    const compare = (what: string, is: unknown, should: unknown): void => {
      if (JSON.stringify(is) !== JSON.stringify(should))
        wrong.push(`${what}: ${JSON.stringify(is)} instead of ${JSON.stringify(should)}`)
    }
    compare('servers', [...seen.servers].sort(), there)
    compare('lives', [...seen.lives].sort(), there)
    compare('sparks', [...seen.sparks.keys()].sort(), [...this.model.all()].sort())
    for (const start of living) for (const [what] of this.#about(start, seen)) wrong.push(`${start.name}: ${what}`)
    wrong.push(...this.#rules.differences())
    await this.#compareUsers(seen, living, compare)
    await this.#compareGroups(seen, living, compare)
    compare('keys too much', await surplus(client, this.#space, there), [])
    const ids = [...this.model.all()].sort()
    for (const { name, address, metroplex: one } of living) {
      try {
        compare(`servers of ${name}`, (await one.servers(true)).sort(), there)
        compare(
          `peers of ${name}`,
          (await one.servers()).sort(),
          there.filter(other => other !== address)
        )
        compare(`count of ${name}`, await one.count(), ids.length)
        const places = await one.sparks([...ids, 'unknown'])
        compare(`place of an unknown spark by ${name}`, places.pop(), null)
        for (const [i, id] of ids.entries()) {
          const place = places[i] ?? null
          const right = this.model.holders(id).map(holder => addresses[holder])
          if (!right.includes(place ?? ''))
            wrong.push(`place of ${id} by ${name}: ${place ?? 'nowhere'} instead of ${right.join(' or ')}`)
        }
        for (const [i, id] of ids.slice(-FEW).entries())
          compare(`spark ${id} by ${name}`, await one.spark(id), places.slice(-FEW)[i])
        // The tag of each server leads to it, and that of one that has ended leads nowhere.
        for (const other of this.#all) {
          const found = one.core.shards.locator.recent(other.tagged)
          const right = living.includes(other) && other.metroplex !== one ? other.address : undefined
          compare(`place of an id with the tag of ${other.name} by ${name}`, found, right)
        }
        for (const other of there) {
          const listed: string[] = []
          for await (const id of one.sparksOn(other)) listed.push(id)
          compare(
            `sparks on ${other} by ${name}`,
            listed.sort(),
            [...seen.sparks]
              .filter(([, place]) => place === other)
              .map(([id]) => id)
              .sort()
          )
        }
      } catch (error) {
        wrong.push(`${name} could not answer: ${String(error)}`)
      }
    }
    return wrong
  }

  /** Compare the users in the registry with those that the owners of their sparks know, and those with the model. */
  async #compareUsers(
    { sparks }: Sample,
    living: readonly Start[],
    compare: (what: string, is: unknown, should: unknown) => void
  ): Promise<void> {
    const { client } = this.stage
    const sorted = (pairs: Iterable<readonly [string, string]>): string[] => [...pairs].map(pair => pair.join()).sort()
    const addresses = living.map(({ address }) => address)
    const { users, own } = await sampleUsers(client, this.#space, addresses)
    const known = living.map(({ metroplex }) =>
      USERS.map(user => metroplex.core.shards.users.own(user).map((id): [string, string] => [id, user]))
    )
    USERS.forEach((user, i) => {
      const owners = known.flatMap((of, at) => (of[i] ?? []).map(([id]): [string, string] => [id, addresses[at] ?? '']))
      compare(`sparks of ${user}`, sorted(Object.entries(users[i] ?? {})), sorted(owners))
    })
    living.forEach(({ name, server, address, muddled }, at) => {
      const of = sorted((known[at] ?? []).flat())
      compare(`users on ${name}`, sorted(Object.entries(own[at] ?? {})), of)
      const real = [...this.model.at(server).users].filter(([id]) => sparks.get(id) === address)
      if (!muddled) compare(`users known to ${name}`, of, sorted(real))
    })
  }

  /** Compare the groups in the registry with what the owners of the sparks know, and that with the model. */
  async #compareGroups(
    { sparks }: Sample,
    living: readonly Start[],
    compare: (what: string, is: unknown, should: unknown) => void
  ): Promise<void> {
    const addresses = living.map(({ address }) => address)
    const { groups, own } = await sampleGroups(this.stage.client, this.#space, addresses)
    const known = living.map(({ metroplex }) => GROUPS.map(group => metroplex.core.shards.groups.sparks(group).sort()))
    GROUPS.forEach((group, i) => {
      const counts = known.flatMap((of, at) => {
        const count = of[i]?.length ?? 0
        return count === 0 ? [] : [`${addresses[at]} ${count}`]
      })
      const is = Object.entries(groups[i] ?? {}).map(pair => pair.join(' '))
      compare(`servers of the group ${group}`, is.sort(), counts.sort())
    })
    living.forEach(({ name, server, address, muddled }, at) => {
      const listed = GROUPS.filter((_, i) => (known[at]?.[i]?.length ?? 0) > 0)
      compare(`groups of ${name}`, own[at], [...listed].sort())
      if (muddled) return
      const real = this.model.at(server).groups
      GROUPS.forEach((group, i) => {
        const ids = [...real].filter(([id, of]) => of.has(group) && sparks.get(id) === address).map(([id]) => id)
        compare(`sparks in ${group} known to ${name}`, known[at]?.[i], ids.sort())
      })
    })
  }
}

/** What all sparks inherit from, by which a server knows them from other objects that an application has entered. */
const PROTOTYPE = {}

/** As much of Primus as writes to sparks and lists them. */
function standIn(sparks: ReadonlyMap<number, OneSpark>): Partial<Primus> {
  return {
    options: {},
    Spark: { CLOSED: 2, prototype: PROTOTYPE },
    spark: () => undefined,
    forEach: (fn: (spark: Spark, id: string) => void) => {
      for (const spark of sparks.values()) fn(spark, spark.id)
    }
  } as unknown as Partial<Primus>
}
