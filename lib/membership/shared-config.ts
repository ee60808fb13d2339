import { randomBytes } from 'node:crypto'
import { now } from '../common/async'
import { MetroplexError } from '../common/errors'
import type { Agreed, SharedValues } from '../registry/records'
import type { Registry } from '../registry/registry'

/** Where the shared configuration is kept. On Redis Cluster, one connection leads to one slot. */
export interface SharedConfigPlaces {
  readonly secret: Pick<Registry, 'keep'>
  readonly layout: Pick<Registry, 'keep'>
}

/**
 * The values that all servers of a cluster share: the secret that signs messages when no server was given one, and the
 * layout, which is the number of shards.
 *
 * The first server writes them and all others adopt them. Each beat compares them; when one is missing or differs, the
 * server repeats its own, and the older of two values stands. So both survive a loss of Redis's data, also when a
 * server that has just started was quicker with a secret of its own. The layout expires a lease after the last server.
 */
export class SharedConfig {
  #secret: Agreed = { value: randomBytes(32).toString('base64url'), since: '' }
  #layout: Agreed
  #confirmed = -Infinity
  #entering: Promise<void> | undefined
  #renewing: Promise<void> | undefined

  constructor(
    private readonly places: SharedConfigPlaces,
    shards: number,
    /** How long the layout outlives the last server, and the time from one beat to the next; in ms. */
    private readonly terms: { readonly lease: number; readonly period: number }
  ) {
    this.#layout = { value: String(shards), since: '' }
  }

  /** The secret that the servers have agreed upon; `''` until then. */
  get secret(): string {
    return this.#secret.since === '' ? '' : this.#secret.value
  }

  /** The values that a beat in this registry has to compare, and the layout that it has to renew. */
  keptBy(registry: object): SharedValues {
    const { secret, layout } = this.places
    return {
      secret: registry === secret ? this.#secret : undefined,
      layout: registry === layout ? this.#layout : undefined
    }
  }

  /**
   * Adopt the values of the cluster, or write our own.
   *
   * @throws MetroplexError `EPROTOCOL` when the cluster has another number of shards; `EREGISTRY` when Redis fails
   */
  enter(): Promise<void> {
    return (this.#entering ??= this.#enter().finally(() => {
      this.#entering = undefined
    }))
  }

  /**
   * Repeat the values when a beat found that one of them is missing or differs.
   *
   * With shards, no beat reaches the key of the layout. It is then renewed once in a period.
   */
  async confirm(agreed: boolean): Promise<void> {
    const { secret, layout } = this.places
    const due = secret !== layout && now() - this.#confirmed >= this.terms.period
    if (!agreed) await this.enter()
    else if (due) await this.#renew()
  }

  async #enter(): Promise<void> {
    await Promise.all([this.#keepSecret(), this.#keepLayout()])
  }

  /** The beats of all shards share one renewal, however long its answer takes. */
  #renew(): Promise<void> {
    return (this.#renewing ??= this.#keepLayout().finally(() => {
      this.#renewing = undefined
    }))
  }

  async #keepSecret(): Promise<void> {
    this.#secret = await this.places.secret.keep('secret', this.#secret, 0)
  }

  async #keepLayout(): Promise<void> {
    const layout = await this.places.layout.keep('layout', this.#layout, this.terms.lease)
    if (layout.value !== this.#layout.value) {
      throw new MetroplexError(
        'EPROTOCOL',
        `The registry of this cluster is split into ${layout.value} shards, but this server was given ` +
          `\`shards: ${this.#layout.value}\`. Give all servers the same number. To change it, stop them all, and ` +
          'start them a lease later.'
      )
    }
    this.#layout = layout
    this.#confirmed = now()
  }
}
