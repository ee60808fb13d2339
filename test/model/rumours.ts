import type { Metroplex } from '../../index'

/** One start of one server, as far as what it tells goes. */
export interface Listener {
  readonly name: string
  readonly server: number
  readonly address: string
  /** How it ended, if it has. */
  ended: 'stopped' | 'died' | false
  /** Whether an id is connected to it now. */
  holds(id: string): boolean
}

/** One life of a server, and for how long nothing was heard of it. */
interface Life {
  readonly of: Listener
  /** Its last beat, in epoch ms by the clock that Redis has, too. */
  stamp: number
  /** The longest time between two beats, in ms. */
  silence: number
}

/**
 * Listens to what servers tell of each other, and judges it.
 *
 * No server may be said to have left, or be cleaned up after, unless it stopped, died or was silent for as long as its
 * lease. No server is said to have left twice, or without having been there.
 */
export class Rumours {
  readonly #lives = new Map<string, Life>()
  /** Who was last started at each address. */
  readonly #current: (Listener | undefined)[]
  /** All that ever listened, with the life that each believes to be at an address. */
  readonly #beliefs = new Map<Listener, Map<string, string>>()
  readonly #left = new Set<string>()
  readonly #ids = new Map<Listener, Metroplex>()

  constructor(
    addresses: readonly string[],
    private readonly lease: number,
    private readonly wrong: (what: string) => void
  ) {
    this.#current = addresses.map(() => undefined)
  }

  /** Listen to a server, until it ends. `named` is told of the ids that were reaped. */
  listen(who: Listener, metroplex: Metroplex, named: (ids: readonly string[]) => void): void {
    this.#current[who.server] = who
    this.#ids.set(who, metroplex)
    const beliefs = new Map<string, string>()
    this.#beliefs.set(who, beliefs)
    metroplex.on('join', (address, life) => {
      if (who.ended !== false) return
      if (life === '') this.wrong(`${who.name} took ${address} for a server of 1.x`)
      if (beliefs.has(address)) this.wrong(`${who.name} told twice that ${address} has joined`)
      if (this.#left.has(`${who.name} ${life}`))
        this.wrong(`${who.name} told that a life at ${address} joined which it had told to have left`)
      beliefs.set(address, life)
    })
    metroplex.on('leave', (address, why, life) => {
      if (who.ended !== false) return
      if (beliefs.get(address) !== life)
        this.wrong(`${who.name} told that a life at ${address} left which was not there`)
      if (this.#left.has(`${who.name} ${life}`)) this.wrong(`${who.name} told twice that one life at ${address} left`)
      beliefs.delete(address)
      this.#left.add(`${who.name} ${life}`)
      const gone = this.#find(life)
      if (gone === undefined) {
        // One that was stopped before any server has looked.
        const stopped = [...this.#beliefs.keys()].some(other => other.address === address && other.ended !== false)
        if (!stopped) this.wrong(`${who.name} told that a life at ${address} left which never was`)
        return
      }
      if (why === 'shutdown' && gone.of.ended !== 'stopped')
        this.wrong(`${who.name} told that ${gone.of.name} had shut down`)
      if (!this.#mayBeGone(gone))
        this.wrong(`${who.name} told that ${gone.of.name} had left, which was never silent for its lease`)
    })
    metroplex.on('reap', (address, ids) => {
      if (who.ended !== 'died') named(ids)
      if (who.ended !== false) return
      const lives = [...this.#lives.values()].filter(({ of }) => of.address === address)
      if (!lives.some(life => this.#mayBeGone(life)))
        this.wrong(`${who.name} reaped ${address}, which was never silent for its lease`)
      if (address !== who.address) return
      for (const id of ids) if (who.holds(id)) this.wrong(`${who.name} reaped ${id}, which is back`)
    })
    metroplex.on('error', error => {
      const { code } = error as { code?: string }
      if (code === 'EADDRESS') this.wrong(`${who.name} found another server at its address`)
    })
  }

  /** Redis has lost its data, and with it who was declared dead: who was, and is back, is who it was. */
  forgotten(): void {
    this.#left.clear()
  }

  /** A beat of the life at an address was seen. */
  beaten(server: number, id: string, stamp: number): void {
    this.#meet()
    const of = this.#current[server]
    if (id === '' || stamp === 0 || of === undefined) return
    const life = this.#lives.get(id)
    if (life === undefined) {
      this.#lives.set(id, { of, stamp, silence: 0 })
    } else if (life.stamp !== stamp) {
      life.silence = Math.max(life.silence, stamp - life.stamp)
      life.stamp = stamp
    }
  }

  /** All has come to rest: each of these believes in exactly the others. */
  conclude(living: readonly Listener[]): void {
    for (const who of living) {
      const beliefs = this.#beliefs.get(who) ?? new Map<string, string>()
      const there = living.filter(other => other !== who)
      for (const other of there) {
        const life = beliefs.get(other.address)
        const is = this.#ids.get(other)?.id
        if (life !== is)
          this.wrong(
            `${who.name} has told that ${life === undefined ? 'no life' : 'another life'} than that of ${other.name} ` +
              'is there'
          )
      }
      const known = new Set(there.map(({ address }) => address))
      for (const address of beliefs.keys())
        if (!known.has(address)) this.wrong(`${who.name} never told that ${address} left`)
    }
  }

  #mayBeGone({ of, stamp, silence }: Life): boolean {
    return of.ended !== false || Math.max(silence, Date.now() - stamp) >= this.lease
  }

  #find(id: string): Life | undefined {
    this.#meet()
    return this.#lives.get(id)
  }

  /** Take notice of the lives that servers have by now. */
  #meet(): void {
    for (const [of, { id }] of this.#ids) {
      if (id !== '' && !this.#lives.has(id)) this.#lives.set(id, { of, stamp: Date.now(), silence: 0 })
    }
  }
}
