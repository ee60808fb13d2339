/** One server, as it is in reality. */
export interface Server {
  up: boolean
  /** Nothing goes through its connection to Redis, neither way. */
  frozen: boolean
  /** How often it was started. */
  starts: number
  /** Its sparks, by a number of their own: ids repeat. */
  readonly sparks: Map<number, string>
  /** How many sparks have an id. */
  readonly ids: Map<string, number>
  /** The users behind ids. */
  readonly users: Map<string, string>
  /** The groups that ids are in. */
  readonly groups: Map<string, Set<string>>
}

/**
 * What is there: which servers, and which sparks on them. The registry has to say the same.
 *
 * It knows nothing of Redis, leases or beats.
 */
export class Model {
  readonly servers: readonly Server[]
  #sparks = 0

  constructor(
    servers: number,
    /** Whether users have a limit. Then each id is that of one spark: a limit counts ids. */
    readonly limited = false
  ) {
    this.servers = Array.from({ length: servers }, () => ({
      up: false,
      frozen: false,
      starts: 0,
      sparks: new Map(),
      ids: new Map(),
      users: new Map(),
      groups: new Map()
    }))
  }

  at(server: number): Server {
    const found = this.servers[server]
    if (found === undefined) throw new Error(`there is no server ${server}`)
    return found
  }

  start(server: number): void {
    const one = this.at(server)
    one.up = true
    one.frozen = false
    one.starts++
  }

  /** It has gone, and what was connected to it too. */
  end(server: number): void {
    const one = this.at(server)
    one.up = one.frozen = false
    one.sparks.clear()
    one.ids.clear()
    one.users.clear()
    one.groups.clear()
  }

  /** What the id of a spark becomes, if it connects to a server now; `undefined`: it may not. */
  idOf(server: number, id: string): string | undefined {
    if (!this.limited) return id
    const own = `${id}${server}`
    return this.holds(server, own) ? undefined : own
  }

  /** A spark connects; its number. */
  connect(server: number, id: string): number {
    const { sparks, ids } = this.at(server)
    sparks.set(++this.#sparks, id)
    ids.set(id, (ids.get(id) ?? 0) + 1)
    return this.#sparks
  }

  disconnect(server: number, spark: number): void {
    const { sparks, ids } = this.at(server)
    const id = sparks.get(spark) ?? ''
    const left = (ids.get(id) ?? 0) - 1
    sparks.delete(spark)
    if (left > 0) ids.set(id, left)
    else {
      ids.delete(id)
      this.forget(server, id)
    }
  }

  /** An id has no user any more, and is in no group. */
  forget(server: number, id: string): void {
    const { users, groups } = this.at(server)
    users.delete(id)
    groups.delete(id)
  }

  /** The user of an id becomes another one; `undefined`: none. */
  identify(server: number, id: string, user: string | undefined): void {
    const { users } = this.at(server)
    if (user === undefined) users.delete(id)
    else users.set(id, user)
  }

  /** An id enters a group, or leaves it. */
  change(server: number, id: string, group: string, entered: boolean): void {
    const { groups } = this.at(server)
    const own = groups.get(id) ?? new Set()
    groups.set(id, own)
    if (entered) own.add(group)
    else own.delete(group)
  }

  /** Whether an id is connected to a server. */
  holds(server: number, id: string): boolean {
    return this.at(server).ids.has(id)
  }

  /** The servers that have an id: each of them is a right answer to where it is. */
  holders(id: string): number[] {
    return this.up().filter(server => this.holds(server, id))
  }

  /** The servers that are there. */
  up(): number[] {
    return this.servers.flatMap(({ up }, server) => (up ? [server] : []))
  }

  /** All ids that are connected somewhere. */
  all(): Set<string> {
    return new Set(this.up().flatMap(server => [...this.at(server).ids.keys()]))
  }
}
