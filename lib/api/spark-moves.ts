import { isCallback, splitCallback, callbackify, type Callback } from '../common/callback'
import { MetroplexError } from '../common/errors'
import type { Balanced, BalanceOptions, Drained, DrainOptions } from '../common/types'
import { balanceTerms } from '../common/validate'
import type { ServerCore } from '../core/server-core'
import { drainTerms } from '../drain/drain'
import { DescriptionMethods } from './description-methods'

/** The methods of a server that let its sparks go to other servers. */
export class SparkMoves extends DescriptionMethods {
  /** All parts of this server. @internal */
  declare readonly core: ServerCore

  /**
   * Move the sparks of this server to other servers before it ends. New clients are answered 503, and `health()` is not
   * ok. Present sparks are ended at random moments, at most `rate` in any second, and their clients reconnect, which
   * leads them to other servers. Until then each spark can be found and reached.
   *
   * When no spark is left, the server leaves the registry, and the promise resolves with `left: 0`. The drain lasts
   * until the server is destroyed, or registered again with `register()`. After `timeout` ms the promise resolves with
   * the number of sparks that are left. They stay, and `drain` can be called again. `moved` counts the sparks that have
   * disconnected since the drain began. Concurrent calls share one drain, with the options of the last one. `destroy`
   * ends it, and resolves the promise.
   *
   * A spark whose connection began before the drain is ended at once; it is not counted and not limited by the rate.
   * When Redis is unreachable, leaving fails with an `error` event, and the promise resolves all the same. Peers then
   * notice the departure when the lease expires.
   *
   * @param options `timeout` in ms, default 60000, at least 0, which ends no spark; `rate` in sparks per second,
   * default 100, above 0: a rate below 1 is one spark in as many seconds
   * @throws TypeError or RangeError for wrong options; MetroplexError `ECLOSED` when it has been destroyed
   *
   * @example
   * process.once('SIGTERM', async () => {
   *   await primus.metroplex.drain({ rate: 200 })
   *   primus.destroy({ reconnect: true }, () => process.exit())
   * })
   */
  drain(options?: DrainOptions): Promise<Drained>
  drain(fn: Callback<Drained>): this
  drain(options: DrainOptions, fn: Callback<Drained>): this
  drain(options?: DrainOptions | Callback<Drained>, fn?: Callback<Drained>): Promise<Drained> | this {
    const [given, callback] = splitCallback([options, fn])
    // Throws before anything has begun.
    isCallback(callback)
    return callbackify(this.#drain(given), callback, this)
  }

  /**
   * Even out the sparks of the cluster: end those that this server has above the mean of the live servers, plus
   * `tolerance`. The youngest are ended first, at random moments, at most `rate` in any second, and their clients
   * reconnect, which leads them to any server. The server takes new sparks as before.
   *
   * Resolves with what was done, when no client is on its way any more: at most 5 s after the last spark was ended.
   * Nothing is ended while this server is at or below its target. The balance stops, and `stopped` says why: when this
   * server or another one drains; within two leases of a join or departure; when Redis does not answer; and when most
   * clients come straight back to this server, which is one `error` (`ESTICKY`), too, and a warning of `health()`.
   * `destroy` ends it, and resolves the promise. Concurrent calls share one run, with the options of the last one.
   *
   * @param options `tolerance` as a share of the mean, from 0 to 1, default 0.1; `rate` in sparks per second, default
   * 50, above 0, at most 1000: a rate below 1 is one spark in as many seconds
   * @throws TypeError or RangeError for wrong options; MetroplexError `ECLOSED` when it has been destroyed
   *
   * @example
   * const { ended, target, stopped } = await primus.metroplex.balance({ tolerance: 0.2 })
   * console.log(stopped ?? `${ended} sparks ended; ${target} are fair`)
   */
  balance(options?: BalanceOptions): Promise<Balanced>
  balance(fn: Callback<Balanced>): this
  balance(options: BalanceOptions, fn: Callback<Balanced>): this
  balance(options?: BalanceOptions | Callback<Balanced>, fn?: Callback<Balanced>): Promise<Balanced> | this {
    const [given, callback] = splitCallback([options, fn])
    // Throws before anything has begun.
    isCallback(callback)
    return callbackify(this.#balance(given), callback, this)
  }

  async #drain(options: unknown): Promise<Drained> {
    const terms = drainTerms(options)
    this.#refuseClosed()
    return this.core.drain.run(terms)
  }

  async #balance(options: unknown): Promise<Balanced> {
    const terms = balanceTerms(options)
    this.#refuseClosed()
    return this.core.balance.run(terms)
  }

  #refuseClosed(): void {
    if (this.core.closing) throw new MetroplexError('ECLOSED', 'This server has been destroyed.')
  }
}
