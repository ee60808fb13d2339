import type { Settings } from '../common/options'
import type { Spark } from '../common/types'
import { InfoReader } from '../descriptions/info-reader'
import type { LocalDescriptions } from '../descriptions/local-descriptions'
import { GroupNamer } from './group-namer'
import type { Shards } from '../shards/shards'
import { UserNamer } from './user-namer'

/** The part of a server that the options of sparks concern. */
export interface ServedSparks {
  readonly settings: Pick<Settings, 'user' | 'groups' | 'info' | 'timeout'>
  readonly shards: Pick<Shards, 'users' | 'groups'>
  readonly descriptions: Pick<LocalDescriptions, 'connected' | 'inform'>
}

/** Asks the application for what its options say of each spark that connects: its info, its user, then its groups. */
export class SparkOptionReader {
  readonly #users: UserNamer
  readonly #groups: GroupNamer
  readonly #info: InfoReader
  readonly #descriptions: ServedSparks['descriptions']

  constructor(
    { settings: { user, groups, info, timeout }, shards, descriptions }: ServedSparks,
    identify: (id: string, name: unknown) => Promise<void>,
    failed: (error: Error) => void
  ) {
    this.#descriptions = descriptions
    this.#info = new InfoReader(info, failed, timeout)
    this.#users = new UserNamer(user, identify, failed)
    this.#groups = new GroupNamer(
      groups,
      {
        user: id => shards.users.of(id),
        enter: (id, names) => shards.groups.change('enter', [id], names, 'connected').written,
        failed
      },
      timeout
    )
  }

  /** A spark has connected. */
  ask(id: string, spark: Spark): void {
    const descriptions = this.#descriptions
    descriptions.connected(spark)
    this.#info.ask(id, spark, info => {
      descriptions.inform(spark, info)
    })
    this.#groups.ask(id, spark, this.#users.ask(id, spark))
  }

  /** `identify` has named the user of a spark: ignore what the option returns. */
  told(id: string): void {
    this.#users.told(id)
  }

  /** A spark has disconnected: ignore what the options return. */
  gone(id: string, spark: Spark): void {
    this.#users.gone(id, spark)
    this.#groups.gone(id, spark)
  }
}
