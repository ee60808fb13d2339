import { slices } from '../batch-size'
import { asText, paired } from '../decoding'
import { list } from '../encoding'
import type { Keys } from '../keys'
import type { LifeId } from '../records'
import type { CommandRunner } from '../command-runner'

/** What has a beginning and an end: a user or a group. */
export type PresenceKind = 'u' | 'g'

/** How long presence waits, in ms. */
export interface PresenceTerms {
  /** Deadline of an operation. */
  readonly timeout: number
  /** How long the last spark of a user or group may be gone until that has ended. Without it, nothing is told. */
  readonly grace?: number | undefined
}

/** Remembers what the registry had of this server, in case the registry is lost. */
export interface PresenceWitness {
  /** Whether it was told before a loss of the registry that this name has begun. */
  quiet(kind: PresenceKind, name: string): boolean
  /** This server is about to write what it has of these names. */
  sending(kind: PresenceKind, names: readonly string[]): void
  /** The registry has what this server wrote of these names. */
  written(kind: PresenceKind, names: readonly string[]): void
}

/** Tells announcements. */
export interface PresenceListener {
  /** Whether this process has handlers. */
  readonly listening: boolean
  /** These announcements came from a write of this server. */
  hear(announcements: readonly string[]): void
}

/** What is to be told, and whether this process has the turn. */
export interface DueAnnouncements {
  readonly turn: boolean
  /** Names whose grace is over. */
  readonly names: readonly string[]
  readonly announcements: readonly string[]
}

/** What the registry has of one user. */
export interface Standing {
  /** Its sparks, and the addresses under which they are registered. */
  readonly sparks: readonly (readonly [id: string, address: string])[]
  /** Whether its grace runs. */
  readonly leaving: boolean
}

/** The longest turn of the process that tells, in ms. */
const LONGEST_TURN = 3000

/** The most announcements in one command. */
const ANNOUNCEMENTS_AT_ONCE = 500

/**
 * Presence in one registry: which users and groups have begun and ended, and what of that is not told yet.
 *
 * A method is one round trip, and rejects with `EREGISTRY` when Redis fails.
 */
export class PresenceStore {
  /** The keys that scripts take at the end of theirs; none without `grace`. */
  readonly keys: readonly string[]
  /** After how many ms an announcement that no handler has settled is told again. */
  readonly patience: number
  /** For how many ms a process keeps the turn to tell without renewing it. */
  readonly turn: number
  /** Set by a server that writes. */
  witness: PresenceWitness | undefined
  /** Set by a process that may have handlers. */
  listener: PresenceListener | undefined

  constructor(
    private readonly names: Keys,
    private readonly redis: CommandRunner,
    private readonly terms: PresenceTerms
  ) {
    this.keys = this.telling ? [names.leaving, names.untold, names.marks] : []
    this.patience = 2 * terms.timeout
    this.turn = Math.min(LONGEST_TURN, terms.timeout)
  }

  /** Whether the option `grace` is set. */
  get telling(): boolean {
    return this.terms.grace !== undefined
  }

  /** The form of a script for this server. */
  script(name: string): string {
    return this.telling ? `${name}Telling` : name
  }

  /** The arguments that scripts take at the end of theirs; none without `grace`. @param names in the order of keys */
  args(kind: PresenceKind, names: readonly string[]): (string | number)[] {
    const { grace } = this.terms
    if (grace === undefined) return []
    const quiet = names.map(name => (this.witness?.quiet(kind, name) === true ? 1 : 0))
    // What no process here tells is for another one to tell at once.
    const patience = this.listener?.listening === true ? this.patience : 0
    return [quiet.some(Boolean) ? JSON.stringify(quiet) : '[]', grace, patience]
  }

  /** This server is about to write. */
  sending(kind: PresenceKind, names: readonly string[]): void {
    this.witness?.sending(kind, names)
  }

  /** A write of this server was accepted. @param announcements what it is the first to know */
  written(kind: PresenceKind, names: readonly string[], announcements: readonly string[]): void {
    this.witness?.written(kind, names)
    if (announcements.length > 0) this.listener?.hear(announcements)
  }

  /** Note names that our sparks left before the registry was lost. At most as many as one script may take. */
  async doubt({ address, life }: LifeId, kind: PresenceKind, names: readonly string[]): Promise<void> {
    await this.redis.run('doubt', [
      names.length + 1 + this.keys.length,
      this.names.life(address),
      ...names.map(name => this.#keyOf(kind + name)),
      ...this.keys,
      life,
      list(names.map(name => kind + name)),
      '[]',
      this.#grace,
      this.patience
    ])
  }

  /** What is to be told now. It takes the turn if that is free. @param most of names, and of announcements */
  async due(holder: string, most: number): Promise<DueAnnouncements> {
    const { teller, leaving, untold } = this.names
    const [turn, names, announcements] = await this.redis.list('due', [
      teller,
      leaving,
      untold,
      holder,
      this.turn,
      most,
      this.#grace,
      LONGEST_TURN
    ])
    return { turn: turn === 1, names: names as string[], announcements: announcements as string[] }
  }

  /** Take of these names and announcements what is still to be told. @returns the announcements to tell */
  async take(holder: string, { names, announcements }: Omit<DueAnnouncements, 'turn'>): Promise<string[]> {
    const { teller, leaving, untold, marks } = this.names
    const taken = await this.redis.list('take', [
      names.length + 4,
      teller,
      leaving,
      untold,
      marks,
      ...names.map(name => this.#keyOf(name.replace(/^[?!]/, ''))),
      holder,
      this.turn,
      this.#grace,
      this.patience,
      list(names),
      list(announcements)
    ])
    return taken as string[]
  }

  /** These announcements are told. One command for some hundred announcements. */
  async acknowledge(announcements: Iterable<string>): Promise<void> {
    for (const slice of slices(announcements, ANNOUNCEMENTS_AT_ONCE))
      await this.redis.run('ZREM', [this.names.untold, ...slice])
  }

  /** What the registry has of these users, in their order. */
  async standing(users: readonly string[]): Promise<Standing[]> {
    const { names } = this
    // In capitals, because ioredis converts the answer of a command in lower case into an object.
    const found = await this.redis.pipeline([
      ...users.flatMap(user => [
        ['HGETALL', names.user(user)] as const,
        ['ZSCORE', names.leaving, `u${user}`] as const
      ]),
      ['TIME']
    ])
    const [seconds, us] = found.at(-1) as string[]
    const ms = Number(seconds) * 1000 + Number(us) / 1000
    return users.map((_, i) => ({
      sparks: paired(found[2 * i]),
      leaving: Number(asText(found[2 * i + 1])) > ms
    }))
  }

  get #grace(): number {
    return this.terms.grace ?? 0
  }

  /** The hash of a name with its kind: of a user's sparks, or of a group's servers. */
  #keyOf(name: string): string {
    return name.startsWith('u') ? this.names.user(name.slice(1)) : this.names.group(name.slice(1))
  }
}
