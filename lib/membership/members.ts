import { now, shared } from '../deadline'
import type { Census, Description, LifeRecord } from '../registry/records'
import type { Registry } from '../registry/registry'
import type { Farewell } from '../reports'

/** What the live set reports. */
export interface MembersEvents {
  join(address: string, life: string): void
  leave(address: string, why: Farewell, life: string): void
}

interface Member {
  /** `''`: a server of 1.x, which has no life. */
  readonly life: string
  /** What it says of itself; nothing of 1.x. */
  readonly description: Description | undefined
  /** Since when the registry has not known it, although nobody said that it left. */
  missing?: number
}

/**
 * The live set: the servers we believe alive right now, without ourselves.
 *
 * The registry counts joins and leaves, so that it is asked only when the list moved, and remembers the last of them, so that
 * only those are looked at. Everybody is, where that does not explain the number of servers: those of 1.x come and go without
 * counting. A server that left or was declared dead is told by the last word on its life. One that is merely absent, as after a
 * flush of Redis, stays for as long as its lease would have lasted, because its next beat brings it back.
 */
export class Members {
  readonly #members = new Map<string, Member>()
  /** Their addresses, by the word of the process. */
  readonly #words = new Map<string, string>()
  #counter: string | undefined
  /** The list says something that cannot be told by who has changed. */
  #doubted = false
  /** Whom we have found dead since the list was last asked for, by address: what is being read may be older. */
  readonly #buried = new Map<string, string>()
  #self = ''
  #ours = ''

  constructor(
    private readonly registry: Pick<Registry, 'census' | 'changes' | 'listed' | 'remains'>,
    /** How long a server that is merely absent is believed in, in ms. */
    private readonly patience: number,
    private readonly events: MembersEvents
  ) {}

  /** Our own address, which is no peer; `''` while we have none. */
  set self(address: string) {
    this.#self = address
    const former = this.#members.get(address)
    // Whoever had our address before us has ended.
    if (former !== undefined) this.#lost(address, former.life, 'expired')
  }

  /** The life that we have or try to have: the registry may know it before we do, and it is no peer. */
  set ours(life: string) {
    this.#ours = life
  }

  /** Whether the list has ever been fetched. */
  get known(): boolean {
    return this.#counter !== undefined
  }

  /** The addresses of all peers that live. */
  get addresses(): string[] {
    return [...this.#members.keys()]
  }

  /** Whether a peer lives. */
  has(address: string): boolean {
    return this.#members.has(address)
  }

  /** The life of a peer; `''` for one of 1.x, `undefined` for one that does not live. */
  life(address: string): string | undefined {
    return this.#members.get(address)?.life
  }

  /** What a peer says of itself; `undefined` for one of 1.x, and for one that does not live. */
  description(address: string): Description | undefined {
    return this.#members.get(address)?.description
  }

  /** The address of the peer whose process has this word; `''` for none. */
  addressOf(word: string): string {
    return this.#words.get(word) ?? ''
  }

  /** Catch up if a beat saw the list move. */
  async beaten(counter: string, servers: number): Promise<void> {
    if (counter !== this.#counter || servers !== this.#expected || this.#unsettled) await this.refresh()
  }

  /** Ask for the list itself, which servers of 1.x change without counting; one round trip unless something moved. */
  async current(): Promise<string[]> {
    await this.verify()
    return this.addresses
  }

  /** Catch up with the list. Calls that come meanwhile share one that starts after them. */
  readonly refresh = shared(() => this.#catchUp())

  /** Catch up with the list if it moved, or says something else than we do. Calls that come meanwhile share one that starts after them. */
  readonly verify = shared(async () => {
    const { members, servers } = await this.registry.listed()
    if (members !== this.#counter || this.#unsettled) await this.refresh()
    const unknown = [...servers].some(address => address !== this.#self && !this.#members.has(address))
    const gone = [...this.#members].some(([address, { missing }]) => missing === undefined && !servers.has(address))
    if (!unknown && !gone) return
    this.#doubted = true
    await this.refresh()
  })

  /** A peer has been found dead by ourselves. */
  buried(address: string, life: string): void {
    this.#buried.set(address, life)
    if (this.#members.get(address)?.life === life) this.#lost(address, life, 'expired')
  }

  /** How many the list has, if it is as we believe. */
  get #expected(): number {
    return this.#members.size + (this.#self === '' ? 0 : 1)
  }

  /** Whether somebody is absent of whom nobody has said that it left. */
  get #unsettled(): boolean {
    return [...this.#members.values()].some(({ missing }) => missing !== undefined)
  }

  /** From which value of the counter on we know what has changed if we are told who; `''`: we have to look at everybody. */
  get #since(): string {
    const uncounted = [...this.#members.values()].some(({ life, missing }) => life === '' || missing !== undefined)
    return uncounted || this.#doubted ? '' : this.#counter ?? ''
  }

  /** Look at who has changed; and at everybody, where that cannot be told, or does not explain what the list has. */
  async #catchUp(): Promise<void> {
    this.#buried.clear()
    const since = this.#since
    this.#doubted = false
    const changes = since === '' ? null : await this.registry.changes(since)
    if (changes !== null) {
      await this.#learn(changes)
      if (changes.size === this.#expected && !this.#unsettled) return
    }
    await this.#learn(await this.registry.census(this.#members.keys()))
  }

  async #learn(census: Census): Promise<void> {
    this.#counter = census.members
    for (const address of census.addresses) {
      const member = this.#members.get(address)
      if (member !== undefined) await this.#look(address, member.life, census)
    }
    for (const address of census.servers) {
      if (address === this.#self || this.#members.has(address)) continue
      const record = census.lives.get(address)
      // It ended, or Redis lost its data, while we were reading: one of 1.x is not among those of whom something is kept.
      if (record?.state !== 'up' && census.kept.has(address)) continue
      const life = record?.state === 'up' ? record.life : ''
      if ((life !== '' && life === this.#ours) || this.#buried.get(address) === life) continue
      const description = life === '' ? undefined : record?.description
      this.#members.set(address, { life, description })
      if (description !== undefined) this.#words.set(description.word, address)
      this.events.join(address, life)
    }
  }

  /** What has become of a member. */
  async #look(address: string, life: string, census: Census): Promise<void> {
    const { servers, lives } = census
    if (address === this.#self || vanished(address, census)) return
    const record = lives.get(address)
    const listed = servers.has(address)
    if (record?.state === 'up' && record.life !== life) {
      this.#lost(address, life, before(record, life))
      return
    }
    // Of a server of 1.x that is back on the list the last word is old: it has no life to tell its starts apart by.
    const back = life === '' && listed
    if (record !== undefined && record.state !== 'up' && record.life === life && !back) {
      this.#lost(address, life, record.state === 'left' ? 'shutdown' : 'expired')
      return
    }
    const member = this.#members.get(address)
    if (member === undefined) return
    if (listed) {
      if (record === undefined && life !== '') this.#lost(address, life, 'expired')
      else delete member.missing
    } else if (life === '') {
      this.#lost(address, life, 'shutdown')
    } else {
      member.missing ??= now()
      if (now() - member.missing <= this.patience) return
      // Nobody else can say that it ended. Said there, it holds for the server, too: should it be back, it is another life.
      const ended = record !== undefined || await this.registry.remains.bid({ address, life })
      if (ended && this.#members.get(address) === member) this.#lost(address, life, 'expired')
    }
  }

  #lost(address: string, life: string, why: Farewell): void {
    const word = this.description(address)?.word ?? ''
    // The same process may be a member at another address by now.
    if (this.#words.get(word) === address) this.#words.delete(word)
    this.#members.delete(address)
    this.events.leave(address, why, life)
  }
}

/** Redis lost its data while we were reading: nothing can be said of whom the list names and whose life has gone. */
function vanished(address: string, { servers, lives, kept }: Census): boolean {
  return servers.has(address) && kept.has(address) && !lives.has(address)
}

/** How a life ended that another one has followed at the same address. */
function before({ former }: LifeRecord, life: string): Farewell {
  // A server of 1.x says nothing when it goes; that one of 2.x follows it is an upgrade.
  if (life === '') return 'shutdown'
  return former?.life === life ? former.farewell : 'expired'
}
