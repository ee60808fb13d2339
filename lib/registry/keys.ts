/** The names of all Redis keys of one namespace. `servers`, `sparks`, `alive` and `sparksOf` are public, as in 1.x. */
export class Keys {
  /** The namespace and its colon. */
  readonly prefix: string
  /** SET of the addresses of registered servers. */
  readonly servers: string
  /** HASH: spark id → address. */
  readonly sparks: string
  /** SET of the addresses that have a life. */
  readonly lives: string
  /** Counter that every join and departure moves. */
  readonly members: string
  /** LIST, newest first: the latest moves of the counter, as `<counter> <address>`. */
  readonly changes: string
  /** STRING, expiring: the life whose turn the sweep is. */
  readonly sweep: string
  /** STRING, expiring: the life that audits all entries, or did so last. */
  readonly audit: string
  /** STRING: the secret of servers that were configured without one, and since when. */
  readonly secret: string
  /** STRING, expiring: the number of registries of the cluster, and since when. */
  readonly layout: string
  /** ZSET: users and groups whose last spark has gone → when they count as ended, in epoch ms by Redis's clock. */
  readonly leaving: string
  /** ZSET: words that are to be told to `watch` → when they are to be told again, in epoch ms. */
  readonly untold: string
  /** Counter: the numbers of these words. */
  readonly marks: string
  /** STRING, expiring: the process whose turn it is to tell. */
  readonly teller: string
  /** ZSET: users that are kept out → until when, in epoch ms by Redis's clock. */
  readonly barred: string

  constructor(namespace: string) {
    this.prefix = `${namespace}:`
    this.servers = `${this.prefix}servers`
    this.sparks = `${this.prefix}sparks`
    this.lives = `${this.prefix}lives`
    this.members = `${this.prefix}members`
    this.changes = `${this.prefix}changes`
    this.sweep = `${this.prefix}sweep`
    this.audit = `${this.prefix}audit`
    this.secret = `${this.prefix}secret`
    this.layout = `${this.prefix}layout`
    this.leaving = `${this.prefix}leaving`
    this.untold = `${this.prefix}untold`
    this.marks = `${this.prefix}marks`
    this.teller = `${this.prefix}teller`
    this.barred = `${this.prefix}barred`
  }

  /** STRING, expiring: the time of the server's last beat, in epoch ms by Redis's clock. */
  alive(address: string): string {
    return this.prefix + address
  }

  /** SET of the spark ids of a server. */
  sparksOf(address: string): string {
    return `${this.prefix}${address}:sparks`
  }

  /** HASH: spark id → address, of the sparks of a user. */
  user(user: string): string {
    return `${this.prefix}user:${user}`
  }

  /** ZSET, expiring: spark id → when it came, in epoch µs by Redis's clock, of the sparks of a user with a limit. */
  order(user: string): string {
    return `${this.prefix}order:${user}`
  }

  /** HASH: spark id → user, of the sparks of a server. */
  usersOf(address: string): string {
    return `${this.prefix}${address}:users`
  }

  /** HASH: address → how many sparks of that server are in a group. */
  group(group: string): string {
    return `${this.prefix}group:${group}`
  }

  /** SET of the groups that sparks of a server are in. */
  groupsOf(address: string): string {
    return `${this.prefix}${address}:groups`
  }

  /** HASH of the server's life. After that has ended, its tombstone, expiring. */
  life(address: string): string {
    return `${this.prefix}${address}:life`
  }

  /** STRING, expiring: the life that counts as alive. A life without it is dead. */
  lease(address: string): string {
    return `${this.prefix}${address}:lease`
  }

  /** The keys that show whether a server is alive, in the order in which all scripts take them. */
  personal(address: string): [life: string, lease: string, alive: string] {
    return [this.life(address), this.lease(address), this.alive(address)]
  }

  /** The keys that a beat of a life takes. */
  ofBeat(address: string, life: string): string[] {
    return [
      ...this.personal(address),
      this.servers,
      this.members,
      this.sparksOf(address),
      this.sweep,
      this.lives,
      this.changes,
      this.usersOf(address),
      this.former(address, life),
      this.secret,
      this.layout,
      this.groupsOf(address)
    ]
  }

  /** HASH, expiring: a life that another one replaced at the address while its lease still ran, unchanged. */
  former(address: string, life: string): string {
    return `${this.prefix}${address}:former:${life}`
  }

  /** SET of the spark ids of a former life, put aside when another life took the address over. */
  aside(address: string, life: string): string {
    return `${this.prefix}${address}:sparks:${life}`
  }

  /** HASH: spark id → user, of a former life, put aside with its sparks. */
  usersAside(address: string, life: string): string {
    return `${this.prefix}${address}:users:${life}`
  }

  /** SET of the groups of a former life, put aside with its sparks. */
  groupsAside(address: string, life: string): string {
    return `${this.prefix}${address}:groups:${life}`
  }

  /** The groups of a server, and where those of these lives are put aside. */
  groupLists(address: string, ...lives: string[]): string[] {
    return [this.groupsOf(address), ...lives.map(life => this.groupsAside(address, life))]
  }
}
