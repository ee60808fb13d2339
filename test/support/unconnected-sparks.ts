import type { PrimusUnderTest } from './primus-types'

/** Primus, with what makes a spark, and the options that it is made with. */
interface SparkMaker extends PrimusUnderTest {
  readonly Spark: new (headers: object, address: object, query: object, id: string, request: object) => unknown
  readonly options: { idGenerator?: (() => string) | undefined }
}

/** Makes sparks with these ids without a client, because clients cannot come into every network. Travels as source. */
export const makeSparks = (primus: PrimusUnderTest, ids: readonly string[]): void => {
  const { Spark, options } = primus as SparkMaker
  const { idGenerator } = options
  for (const id of ids) {
    // Primus ignores the id that it is given where there is a generator.
    options.idGenerator = () => id
    new Spark({}, {}, {}, id, { headers: {} })
  }
  options.idGenerator = idGenerator
}
