import { pushTo } from '../../common/multimap'
import type { UserLimit } from '../../common/validate'
import { paired } from '../decoding'
import { list, numbered } from '../encoding'
import type { Keys } from '../keys'
import type { Named } from '../records'
import type { CommandRunner } from '../command-runner'

/** An entry of a user: the id of a spark, and the address that has it. */
export type Holder = readonly [id: string, address: string]

/** A spark with a new user, and how long it has had that, in ms. */
export interface Newcomer {
  readonly id: string
  readonly user: string
  readonly age: number
}

/** What was decided about new sparks of users. Nothing is said of a spark that stays. */
export interface Admission {
  /** Sparks that the registry lacks: nothing is decided about them. */
  readonly absent: readonly Named[]
  /** Sparks that must go because they are the oldest, by the address that has them. */
  readonly over: ReadonlyMap<string, readonly Named[]>
  /** New sparks that must go. */
  readonly refused: readonly Named[]
  /**
   * For each user with refused sparks: the entries that were counted. Where the oldest go: for each user about which
   * nothing is decided until these were confirmed.
   */
  readonly holders: ReadonlyMap<string, readonly Holder[]>
}

/**
 * The order in which sparks of users came, and the users that are kept out, in one registry. A method is one round
 * trip, and rejects with `EREGISTRY` when Redis fails.
 */
export class LimitStore {
  constructor(
    private readonly keys: Keys,
    private readonly redis: CommandRunner
  ) {}

  /**
   * Decide whether users with new sparks have too many.
   *
   * @param exempt for each user whose entries were confirmed, those that do not count, while they stand as given
   * @param unheard users of whom an answer was lost: those of their sparks that had to go lately are named again
   */
  async admit(
    address: string,
    { sparks, over }: UserLimit,
    newcomers: readonly Newcomer[],
    exempt: ReadonlyMap<string, readonly Holder[]>,
    unheard: readonly string[] = []
  ): Promise<Admission> {
    const { each, at } = numbered([...newcomers.map(({ user }) => user), ...unheard])
    const found = (await this.redis.list('admit', [
      2 * each.length + 1,
      this.keys.usersOf(address),
      ...each.flatMap(user => [this.keys.user(user), this.keys.order(user)]),
      address,
      sparks,
      over,
      list(each),
      list(newcomers.map(({ id }) => id)),
      JSON.stringify(at.slice(0, newcomers.length)),
      JSON.stringify(newcomers.map(({ age }) => Math.round(age))),
      JSON.stringify(each.map(user => exempt.get(user)?.flat() ?? false)),
      JSON.stringify(at.slice(newcomers.length))
    ])) as string[]
    const absent: Named[] = []
    const refused: Named[] = []
    const gone = new Map<string, Named[]>()
    const holders = new Map<string, Holder[]>()
    for (let i = 0; i < found.length; i += 4) {
      const [what, id = '', user = '', owner = ''] = found.slice(i, i + 4)
      if (what === 'absent') absent.push([id, user])
      else if (what === 'refused') refused.push([id, user])
      else if (what === 'over') pushTo(gone, owner, [id, user])
      else pushTo(holders, user, [id, owner])
    }
    return { absent, over: gone, refused, holders }
  }

  /** Keep users out for so many ms; 0 lets them in again. */
  async bar(users: readonly string[], ms: number): Promise<void> {
    await this.redis.run('bar', [this.keys.barred, ms, list(users)])
  }

  /** The users that are kept out, and for how many ms more. */
  async barred(): Promise<(readonly [user: string, ms: number])[]> {
    return paired(await this.redis.list('barred', [this.keys.barred])).map(([user, ms]) => [user, Number(ms)])
  }
}
