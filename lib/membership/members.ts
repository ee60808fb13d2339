import { now, singleFlight } from '../common/async'
import type { Census, Description, LifeRecord } from '../registry/records'
import { addressesByTag } from '../lookup/id-tags'
import type { Registry } from '../registry/registry'
import type { Farewell } from '../reporting/types'

/** What `Members` reports. */
export interface MembersEvents {
  join(address: string, life: string): void
  /** @param replaced whether another life has followed at the address, which `replaced` has reported */
  leave(address: string, why: Farewell, life: string, replaced: boolean): void
  /** Another life has the address of a peer. Whether the former one has ended is not known yet. */
  replaced(address: string, life: string): void
}

interface Member {
  /** `''`: a server of 1.x, which has no life. */
  readonly life: string
  /**
   * The life that was reported as joined; `undefined` for none. It differs from `life` while a take-over is
   * provisional, so that an address that changes hands and back is not reported as left and joined.
   */
  readonly reported: string | undefined
  /** What it says of itself; `undefined` for a server of 1.x. */
  readonly description: Description | undefined
  /** When it was first missing from the registry without having left or been declared dead; by `performance.now()`. */
  missing?: number
}

/**
 * The live set: the peers that this server believes to be alive.
 *
 * The registry counts joins and leaves, so the list is read only when that counter moved. It also logs the last of
 * them, so only those servers are looked up. All servers are, when the log does not explain their number: servers of
 * 1.x come and go without counting.
 *
 * A tombstone tells that a server left or was declared dead. A server that is merely missing, as after a flush of
 * Redis, stays in the set for as long as its lease would have lasted, because its next beat restores its entries.
 */
export class Members {
  readonly #members = new Map<string, Member>()
  /** Their addresses by node id. */
  readonly #addressOf = new Map<string, string>()
  /** Their addresses by tag; `undefined` when they have changed since. */
  #tagged: ReadonlyMap<string, string> | undefined
  #counter: string | undefined
  /** The list differs from the live set in a way that the log does not explain. */
  #doubted = false
  /** Lives found dead since the list was last read, by address: a read that is in flight may be older. */
  readonly #buried = new Map<string, string>()
  #self = ''
  #ours = ''
  /** The peer whose address this server has taken over provisionally. It may be alive. */
  #former: { readonly address: string; readonly member: Member } | undefined

  constructor(
    private readonly registry: Pick<Registry, 'census' | 'changes' | 'listed' | 'remains'>,
    /** How long a missing server stays in the live set, in ms. */
    private readonly patience: number,
    private readonly events: MembersEvents
  ) {}

  /** This server has an address, which is no peer any more. @param over the former lives there that may be alive */
  take(address: string, over: readonly string[]): void {
    this.#self = address
    const former = this.#members.get(address)
    if (former === undefined) return
    if (former.reported === undefined || !over.includes(former.reported)) {
      this.#remove(address, former, 'expired')
      return
    }
    this.#delete(address, former)
    this.#former = { address, member: former }
  }

  /** The take-over of our address is final: report that the former life has left. */
  settled(): void {
    const former = this.#former
    this.#former = undefined
    const life = former?.member.reported
    if (former !== undefined && life !== undefined) this.events.leave(former.address, 'expired', life, false)
  }

  /** This server has no address any more. A peer that it had replaced provisionally is a member again. */
  release(): void {
    const former = this.#former
    this.#self = ''
    this.#former = undefined
    if (former !== undefined) this.#add(former.address, former.member)
  }

  /** The life of this server, set before it joins: the registry may list it before `join` resolves. It is no peer. */
  set ours(life: string) {
    this.#ours = life
  }

  /** Whether the list has ever been read. */
  get known(): boolean {
    return this.#counter !== undefined
  }

  /** The addresses of all live peers. */
  get addresses(): string[] {
    return [...this.#members.keys()]
  }

  /** Whether a live peer has this address. */
  has(address: string): boolean {
    return this.#members.has(address)
  }

  /** The life of a peer; `''` for a server of 1.x, `undefined` for an address without a live peer. */
  life(address: string): string | undefined {
    return this.#members.get(address)?.life
  }

  /** What a peer says of itself; `undefined` for a server of 1.x, and for an address without a live peer. */
  description(address: string): Description | undefined {
    return this.#members.get(address)?.description
  }

  /** The address of the peer with this node id; `''` for none. */
  addressOf(nodeId: string): string {
    return this.#addressOf.get(nodeId) ?? ''
  }

  /** The address of the only peer whose ids end in this tag; `''` for none, and while a peer has no tag. */
  taggedWith(tag: string): string {
    this.#tagged ??= addressesByTag(
      [...this.#members].map(([address, { description }]) => [address, description?.tag ?? ''])
    )
    return this.#tagged.get(tag) ?? ''
  }

  /** Read the list if a beat found that it has changed. */
  async beaten(counter: string, servers: number): Promise<void> {
    if (counter !== this.#counter || servers !== this.#expected || this.#unsettled) await this.refresh()
  }

  /** Read the list itself, which servers of 1.x change without counting. One round trip unless it has changed. */
  async current(): Promise<string[]> {
    await this.verify()
    return this.addresses
  }

  /** Bring the live set up to date. Calls made during a run share one further run. */
  readonly refresh = singleFlight(() => this.#catchUp())

  /** Bring the live set up to date if the list differs from it. Calls made during a run share one further run. */
  readonly verify = singleFlight(async () => {
    const { members, servers } = await this.registry.listed()
    if (members !== this.#counter || this.#unsettled) await this.refresh()
    const unknown = [...servers].some(address => address !== this.#self && !this.#members.has(address))
    const gone = [...this.#members].some(([address, { missing }]) => missing === undefined && !servers.has(address))
    if (!unknown && !gone) return
    this.#doubted = true
    await this.refresh()
  })

  /** This server's own sweep has declared a peer dead. */
  buried(address: string, life: string): void {
    this.#buried.set(address, life)
    const member = this.#members.get(address)
    if (member?.life === life) this.#remove(address, member, 'expired')
  }

  /** How many servers the list has if the live set is right. */
  get #expected(): number {
    return this.#members.size + (this.#self === '' ? 0 : 1)
  }

  /** Whether a member is missing from the registry without having left or been declared dead. */
  get #unsettled(): boolean {
    return [...this.#members.values()].some(({ missing }) => missing !== undefined)
  }

  /** The counter from which on the log is enough to bring the live set up to date; `''`: a census is needed. */
  get #since(): string {
    const uncounted = [...this.#members.values()].some(({ life, missing }) => life === '' || missing !== undefined)
    return uncounted || this.#doubted ? '' : (this.#counter ?? '')
  }

  /** Look up the servers in the log, or all servers when the log has a gap or does not explain their number. */
  async #catchUp(): Promise<void> {
    this.#buried.clear()
    const since = this.#since
    this.#doubted = false
    const changes = since === '' ? null : await this.registry.changes(since)
    if (changes !== null) {
      await this.#apply(changes)
      if (changes.size === this.#expected && !this.#unsettled) return
    }
    await this.#apply(await this.registry.census(this.#members.keys()))
  }

  async #apply(census: Census): Promise<void> {
    this.#counter = census.members
    for (const address of census.addresses) {
      const member = this.#members.get(address)
      if (member !== undefined) await this.#update(address, member, census)
    }
    for (const address of census.servers) {
      if (address === this.#self || this.#members.has(address)) continue
      const record = census.lives.get(address)
      // Its life ended, or Redis lost its data, during the census. A server of 1.x is never in `kept`.
      if (record?.state !== 'up' && census.kept.has(address)) continue
      const life = record?.state === 'up' ? record.life : ''
      if ((life !== '' && life === this.#ours) || this.#buried.get(address) === life) continue
      const description = life === '' ? undefined : record?.description
      const settled = life === '' || record?.over.length === 0
      this.#add(address, { life, reported: settled ? life : undefined, description })
      if (settled) this.events.join(address, life)
    }
  }

  /** Compare one member with the census. */
  async #update(address: string, known: Member, census: Census): Promise<void> {
    const { servers, lives } = census
    const { life } = known
    if (address === this.#self || vanished(address, census)) return
    const record = lives.get(address)
    const listed = servers.has(address)
    if (record?.state === 'up') {
      if (record.life === this.#ours) return
      if (record.life !== life && !this.#replace(address, known, record)) {
        this.#remove(address, known, farewellOf(record, known.reported ?? ''))
        return
      }
      if (record.over.length === 0) this.#reportJoined(address, record)
    }
    // A tombstone is older than a server of 1.x that is on the list again: its starts have no life to tell them apart.
    const back = life === '' && listed
    const ended = record !== undefined && record.state !== 'up' && record.life === life && !back
    if (ended && !regainable(known, record)) {
      this.#remove(address, known, record.state === 'left' ? 'shutdown' : 'expired')
      return
    }
    const member = this.#members.get(address)
    if (member === undefined) return
    if (listed) {
      if (record === undefined && life !== '') this.#remove(address, member, 'expired')
      else delete member.missing
    } else if (life === '') {
      this.#remove(address, member, 'shutdown')
    } else {
      member.missing ??= now()
      if (now() - member.missing <= this.patience) return
      // Its tombstone makes this final: a server that comes back later begins another life.
      const final = record !== undefined || (await this.registry.remains.tombstone({ address, life }))
      if (final && this.#members.get(address) === member) this.#remove(address, member, 'expired')
    }
  }

  /** Switch to another life at an address without reporting it, while the take-over is provisional; else `false`. */
  #replace(address: string, known: Member, { life, over, description }: LifeRecord): boolean {
    const { reported } = known
    const provisional = reported === undefined ? over.length > 0 : reported === life || over.includes(reported)
    if (!provisional) return false
    this.#delete(address, known)
    this.#add(address, { life, reported, description })
    this.events.replaced(address, life)
    return true
  }

  /** Report the life at an address as joined, unless that has been done. */
  #reportJoined(address: string, record: LifeRecord): void {
    const member = this.#members.get(address)
    const { life } = record
    if (member === undefined || member.reported === life) return
    this.#members.set(address, { ...member, reported: life })
    const former = member.reported
    if (former !== undefined) this.events.leave(address, farewellOf(record, former), former, true)
    this.events.join(address, life)
  }

  #remove(address: string, member: Member, why: Farewell): void {
    const { life, reported } = member
    this.#delete(address, member)
    if (reported === undefined) this.events.replaced(address, '')
    else this.events.leave(address, reported === life ? why : 'expired', reported, false)
  }

  #add(address: string, member: Member): void {
    this.#tagged = undefined
    this.#members.set(address, member)
    if (member.description !== undefined) this.#addressOf.set(member.description.word, address)
  }

  #delete(address: string, { description }: Member): void {
    const nodeId = description?.word ?? ''
    // The same process may be a member at another address by now.
    if (this.#addressOf.get(nodeId) === address) this.#addressOf.delete(nodeId)
    this.#tagged = undefined
    this.#members.delete(address)
  }
}

/** Whether Redis lost its data during the census: the list names the address, but its life is missing. */
function vanished(address: string, { servers, lives, kept }: Census): boolean {
  return servers.has(address) && kept.has(address) && !lives.has(address)
}

/** Whether the reported life may still take the address back from a provisional successor, which has left. */
function regainable({ life, reported }: Member, { state, over }: LifeRecord): boolean {
  return state === 'left' && reported !== undefined && reported !== life && over.includes(reported)
}

/** How a life ended that another one has followed at the same address. */
function farewellOf({ former }: LifeRecord, life: string): Farewell {
  // A server of 1.x leaves no tombstone. One of 2.x at its address is an upgrade.
  if (life === '') return 'shutdown'
  return former?.life === life ? former.farewell : 'expired'
}
