import type { BalanceTerms, Spark } from '../common/types'
import type { LocalDescriptions } from '../descriptions/local-descriptions'
import { AutomaticBalance } from '../drain/automatic-balance'
import { Balance } from '../drain/balance'
import type { State } from '../reporting/types'
import type { Shards } from '../shards/shards'
import type { Backbone } from './backbone'
import type { Emit } from './core'

/** How many leases without a join or departure are quiet. */
const LEASES_OF_QUIET = 2

/** What balancing uses of a server. */
export interface BalancingServer {
  readonly settings: { readonly lease: number; readonly balance: BalanceTerms | undefined }
  readonly shards: Pick<Shards, 'sparks' | 'loads'>
  readonly descriptions: Pick<LocalDescriptions, 'began'>
  readonly state: State
  readonly closing: boolean
}

/** Evens out the sparks of this server when it is told to, and by itself with the option `balance`. */
export class Balancing extends Balance {
  readonly #automatic: AutomaticBalance | undefined

  /** @param sparks the sparks of Primus */
  constructor(server: BalancingServer, backbone: Pick<Backbone, 'on'>, sparks: () => Spark[], emit: Emit) {
    const { shards, settings } = server
    const quiet = LEASES_OF_QUIET * settings.lease
    // The id of an `idGenerator` may be a number. One that the application has changed since is not known here.
    const holds = ({ id }: { readonly id: unknown }): boolean => shards.sparks.owns(String(id))
    super(
      {
        get size() {
          return shards.sparks.size
        },
        youngest: count => youngest(sparks().filter(holds), count, spark => server.descriptions.began(spark)),
        holds,
        obstacle: () => (server.closing ? 'destroyed' : server.state === 'ready' ? undefined : server.state),
        others: () => shards.loads.others(),
        unsettled: () => shards.loads.unsettled(),
        done: balanced => {
          emit('balance', balanced)
        },
        failed: error => {
          emit('error', error)
        }
      },
      quiet
    )
    const changed = (): void => {
      this.changed()
    }
    backbone.on('registered', changed)
    backbone.on('joined', changed)
    backbone.on('left', changed)
    this.#automatic = settings.balance && new AutomaticBalance(this, settings.balance, quiet)
  }

  /** This server was destroyed. */
  close(): void {
    this.#automatic?.close()
    this.stop('destroyed')
  }
}

/** The youngest of these sparks, youngest first. @param began when a spark connected */
export function youngest(sparks: readonly Spark[], count: number, began: (spark: Spark) => number): Spark[] {
  const times = Float64Array.from(sparks, began)
  // Numbers in a typed array are sorted much faster than objects, and only a few objects remain.
  const oldest = times.slice().sort().at(-count) ?? -Infinity
  const young = sparks.flatMap((spark, at) => ((times[at] ?? 0) >= oldest ? [{ spark, time: times[at] ?? 0 }] : []))
  return young
    .sort((a, b) => b.time - a.time)
    .slice(0, count)
    .map(({ spark }) => spark)
}
