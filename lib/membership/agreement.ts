import { randomBytes } from 'node:crypto'
import { now } from '../deadline'
import { MetroplexError } from '../errors'
import type { Agreed } from '../registry/records'
import type { Registry } from '../registry/registry'

/**
 * What all servers of a cluster have to agree upon: the secret that they sign with when they were given none, and into how many
 * registries the cluster's is split.
 *
 * The first server says it and all others take it over. Each repeats what it knows with its beats, and of two values the older one stands: so
 * that both come back after Redis has lost its data, also when a server that starts just then has made up a secret of its own.
 * The layout is forgotten a lease after the last server has gone.
 */
export class Agreement {
  #secret: Agreed = { value: randomBytes(32).toString('base64url'), since: '' }
  #layout: Agreed
  #confirmed = -Infinity
  #asking: Promise<void> | undefined

  constructor(
    /** Where each of the two is kept: on Redis Cluster one connection leads to one slot. */
    private readonly registries: { readonly secret: Pick<Registry, 'keep'>; readonly layout: Pick<Registry, 'keep'> },
    shards: number,
    /** How long the layout outlives the last server, and how often to repeat what we know at the most; in ms. */
    private readonly terms: { readonly lease: number; readonly often: number }
  ) {
    this.#layout = { value: String(shards), since: '' }
  }

  /** The secret that the servers have agreed upon; `''` until then. */
  get secret(): string {
    return this.#secret.since === '' ? '' : this.#secret.value
  }

  /**
   * Agree, before we register.
   *
   * @throws MetroplexError `EPROTOCOL` when the others have split the registry in another way; `EREGISTRY` when Redis fails
   */
  enter(): Promise<void> {
    return this.#asking ??= this.#ask().finally(() => { this.#asking = undefined })
  }

  /** Repeat what we know, unless that was done lately. */
  async confirm(): Promise<void> {
    if (now() - this.#confirmed >= this.terms.often) await this.enter()
  }

  async #ask(): Promise<void> {
    const [secret, layout] = await Promise.all([
      this.registries.secret.keep('secret', this.#secret, 0),
      this.registries.layout.keep('layout', this.#layout, this.terms.lease)
    ])
    this.#secret = secret
    if (layout.value !== this.#layout.value) {
      throw new MetroplexError(
        'EPROTOCOL',
        `The registry of this cluster is split into ${layout.value} shards, but this server was given \`shards: ${this.#layout.value}\`. ` +
        'Give all servers the same number. To change it, stop them all, and start them a lease later.'
      )
    }
    this.#layout = layout
    this.#confirmed = now()
  }
}
