/** The names of all Redis keys of one namespace. The first four are public, and as in 1.x. */
export class Keys {
  /** The namespace and its colon. */
  readonly prefix: string
  /** SET of the addresses of registered servers. */
  readonly servers: string
  /** HASH: spark id → address. */
  readonly sparks: string
  /** SET of the addresses that have a life. */
  readonly lives: string
  /** Counter that every join and leave moves. */
  readonly members: string
  /** LIST, newest first: what moved the counter last, as `<counter> <address>`. */
  readonly changes: string
  /** STRING, expiring: the life whose turn the sweep is. */
  readonly sweep: string
  /** STRING, expiring: the life that has last looked for entries that are nobody's. */
  readonly audit: string
  /** STRING: what servers sign with when they were given no secret, and since when. */
  readonly secret: string
  /** STRING, expiring: into how many registries the cluster's is split, and since when. */
  readonly layout: string

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
  }

  /** STRING, expiring: when the server last beat, in epoch ms by Redis's clock. */
  alive(address: string): string {
    return this.prefix + address
  }

  /** SET of the spark ids of a server. */
  sparksOf(address: string): string {
    return `${this.prefix}${address}:sparks`
  }

  /** HASH: spark id → address, of the sparks that a user is behind. */
  user(user: string): string {
    return `${this.prefix}user:${user}`
  }

  /** HASH of a server: spark id → user. */
  usersOf(address: string): string {
    return `${this.prefix}${address}:users`
  }

  /** HASH of what is known of the server's life; its last word, expiring, once that has ended. */
  life(address: string): string {
    return `${this.prefix}${address}:life`
  }

  /** STRING, expiring: the life that is believed to live; absent beside a life: dead. */
  lease(address: string): string {
    return `${this.prefix}${address}:lease`
  }

  /** The keys that say whether a server lives, in the order all scripts take them. */
  personal(address: string): [life: string, lease: string, alive: string] {
    return [this.life(address), this.lease(address), this.alive(address)]
  }

  /** SET of the spark ids a former life left behind, put aside when another took over. */
  aside(address: string, life: string): string {
    return `${this.prefix}${address}:sparks:${life}`
  }

  /** HASH: spark id → user, of what a former life left behind, put aside with its sparks. */
  usersAside(address: string, life: string): string {
    return `${this.prefix}${address}:users:${life}`
  }
}
