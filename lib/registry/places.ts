import { now } from '../deadline'

/** The most places that are remembered. */
const MOST = 50_000

/**
 * Where sparks were lately: what forwards go by while Redis cannot be asked. The receiver says when it is wrong.
 */
export class Places {
  readonly #places = new Map<string, { readonly address: string; readonly at: number }>()

  /** @param young how old a place may be, in ms */
  constructor(private readonly young: number) {}

  get size(): number {
    return this.#places.size
  }

  /** The registry says that an id is there, or nowhere. */
  note(id: string, address: string | null): void {
    this.#places.delete(id)
    if (address === null) return
    this.#places.set(id, { address, at: now() })
    if (this.#places.size <= MOST) return
    const [oldest] = this.#places.keys()
    if (oldest !== undefined) this.#places.delete(oldest)
  }

  /** Where an id was when we heard of it last, unless that is too long ago. */
  last(id: string): string | undefined {
    const place = this.#places.get(id)
    if (place === undefined) return undefined
    if (now() - place.at <= this.young) return place.address
    this.#places.delete(id)
    return undefined
  }

  /** A server has gone. */
  forget(address: string): void {
    for (const [id, place] of this.#places) if (place.address === address) this.#places.delete(id)
  }
}
