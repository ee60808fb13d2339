import { now } from '../common/async'
import { SLICE, slices } from '../registry/batch-size'
import type { PresenceKind, PresenceStore, PresenceWitness } from '../registry/stores/presence-store'
import type { LifeId } from '../registry/records'
import { BigMap } from './maps/big-map'
import type { BigMultimap } from './maps/big-multimap'

/** The sparks of this server in one registry, by user and by group. */
export type NamedSparks = Readonly<Record<PresenceKind, Pick<BigMultimap, 'count'>>>

/** What the registry had of one kind of names, each with when it was written, by `performance.now()`. */
class Written {
  /** Names that the registry had for this server; `Infinity`: it may have them, or not. */
  readonly present = new BigMap<number>()
  /** Names that it had until lately, the one that left first being the first. */
  readonly left = new Map<string, number>()

  leave(name: string, when: number): void {
    this.present.delete(name)
    this.left.delete(name)
    this.left.set(name, when)
  }
}

/**
 * Remembers which users and groups the registry had for this server, in case it loses its data.
 *
 * A heal then writes all of them again. What was written long enough before the loss was told, and is not told again.
 * What was written shortly before may have been lost untold, and is told once more. Of names that our sparks have left
 * since, or shortly before, the end may have been lost: that is told, too.
 */
export class PresenceMemory implements PresenceWitness {
  readonly #written: Readonly<Record<PresenceKind, Written>> = { u: new Written(), g: new Written() }
  /** An announcement is told within this time, in ms, unless all handlers fail. */
  readonly #soon: number
  #life = ''
  /** When the registry answered last, and had not lost its data. */
  #heard = now()
  /** Whether it has lost its data, and no heal has ended since. */
  #lost = false

  constructor(
    private readonly store: PresenceStore,
    private readonly grace: number,
    private readonly sparks: NamedSparks
  ) {
    this.#soon = 2 * store.patience
    store.witness = this
  }

  /** This life writes from now on. @param lost whether the registry has lost its data */
  open(life: string, lost: boolean): void {
    if (life !== this.#life) {
      // Others have seen the former life end, and may have told so.
      for (const { present } of Object.values(this.#written)) present.clear()
      this.#lost = false
    }
    this.#life = life
    if (!lost) return
    // Of two losses without a heal between them, the second one took what was told since the first: nothing is sure.
    if (this.#lost) this.#heard = -Infinity
    this.#lost = true
  }

  /** The registry has answered a beat. */
  heard(): void {
    if (!this.#lost) this.#heard = now()
  }

  quiet(kind: PresenceKind, name: string): boolean {
    if (!this.#lost) return false
    const when = this.#written[kind].present.get(name)
    return when !== undefined && this.#heard - when > this.#soon
  }

  sending(kind: PresenceKind, names: readonly string[]): void {
    const { present } = this.#written[kind]
    // Until the answer is here, the registry may have it or not.
    for (const name of names) if (this.#has(kind, name) !== present.has(name)) present.set(name, Infinity)
  }

  written(kind: PresenceKind, names: readonly string[]): void {
    const when = now()
    const written = this.#written[kind]
    for (const name of names) {
      if (this.#has(kind, name)) {
        if ((written.present.get(name) ?? Infinity) === Infinity) written.present.set(name, when)
      } else if (written.present.has(name)) {
        written.leave(name, when)
      }
    }
    this.heard()
    this.#forget(written.left)
  }

  /** After a loss of the registry, let it note the names whose end may have been lost. */
  async noteDoubts(me: LifeId): Promise<void> {
    if (!this.#lost) return
    for (const kind of ['u', 'g'] as const)
      for (const names of slices(this.#doubtful(kind), SLICE)) await this.store.doubt(me, kind, names)
  }

  /** The registry is right again. */
  healed(): void {
    const when = now()
    for (const kind of ['u', 'g'] as const) {
      const written = this.#written[kind]
      for (const name of [...this.#gone(kind)]) written.leave(name, when)
    }
    this.#lost = false
    this.#heard = when
  }

  #has(kind: PresenceKind, name: string): boolean {
    return this.sparks[kind].count(name) > 0
  }

  /** Names that the registry had for this server, or may have had, and that have no spark here any more. */
  *#gone(kind: PresenceKind): Generator<string, undefined> {
    for (const name of this.#written[kind].present.keys()) if (!this.#has(kind, name)) yield name
    return undefined
  }

  *#doubtful(kind: PresenceKind): Generator<string, undefined> {
    yield* this.#gone(kind)
    const { left } = this.#written[kind]
    this.#forget(left)
    for (const name of left.keys()) if (!this.#has(kind, name)) yield name
    return undefined
  }

  /** Forget names whose end was told by the time at which the registry answered last. */
  #forget(left: Map<string, number>): void {
    for (const [name, when] of left) {
      if (this.#heard - when <= this.grace + this.#soon) break
      left.delete(name)
    }
  }
}
