import { now } from '../common/async'
import type { Spark } from '../common/types'

/** A spark as its server describes it. */
export type DescribedSpark = readonly [
  id: string,
  user: string | null,
  since: number,
  age: number,
  groups: readonly string[],
  info: unknown
]

/** The answer of a server that was asked to describe sparks. */
export interface DescribedSparks {
  readonly sparks: readonly DescribedSpark[]
  /** The ids that the server does not hold. */
  readonly missing: readonly string[]
  /** The name of the server. */
  readonly server: string
  /** The transformer of its Primus. */
  readonly transport: string
}

/** Describes the sparks of this process. */
export interface Describes {
  describe(ids: readonly string[]): DescribedSparks
}

/** What describing uses of this server. */
export interface LocalFacts {
  owns(id: string): boolean
  /** The object that connected last under an id. */
  spark(id: string): Spark | undefined
  user(id: string): string | undefined
  groups(id: string): readonly string[]
  readonly server: string
  readonly transport: string
}

/** A process without sparks. */
export const NO_DESCRIPTIONS: Describes = {
  describe: ids => ({ sparks: [], missing: ids, server: '', transport: '' })
}

/** What this server knows of its sparks. It is kept on the sparks themselves, and nowhere else. */
export class LocalDescriptions implements Describes {
  /** The property of a spark that holds when it connected, by `performance.now()`. */
  readonly #began = Symbol('when the spark connected')
  /** The property of a spark that holds what the application says of it. */
  readonly #info = Symbol('the info of the spark')

  constructor(private readonly local: LocalFacts) {}

  /** A spark has connected. */
  connected(spark: Spark): void {
    if (Reflect.get(spark, this.#began) === undefined) Reflect.set(spark, this.#began, now())
  }

  /** Note what the application says of a spark. */
  inform(spark: Spark, info: unknown): void {
    Reflect.set(spark, this.#info, info)
  }

  /** When a spark connected, by `performance.now()`; 0 for one that was not noted. */
  began(spark: Spark): number {
    return (Reflect.get(spark, this.#began) as number | undefined) ?? 0
  }

  /** Describe sparks that this server owns. */
  describe(ids: readonly string[]): DescribedSparks {
    const { local } = this
    const [time, date] = [now(), Date.now()]
    const missing: string[] = []
    const sparks: DescribedSpark[] = []
    for (const id of ids) {
      if (!local.owns(id)) {
        missing.push(id)
        continue
      }
      const spark = local.spark(id)
      const age = spark === undefined ? 0 : time - (this.began(spark) || time)
      const info: unknown = spark === undefined ? null : (Reflect.get(spark, this.#info) ?? null)
      const since = Math.ceil(date - age)
      sparks.push([id, local.user(id) ?? null, since, Math.round(age), [...local.groups(id)], info])
    }
    return { sparks, missing, server: local.server, transport: local.transport }
  }
}
