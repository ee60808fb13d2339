import type { Primus, PrimusOptions } from '../common/types'
import { randomTag, taggedIds } from '../lookup/id-tags'

/** The transformers that leave the ids of sparks to Primus. With all others, it is the id of the connection below. */
const WITHOUT_IDS: readonly unknown[] = ['websockets', 'uws', 'faye']
/** The position of the id among the arguments with which a transformer creates a spark. */
const ID = 3

/**
 * Lets the ids of sparks end in a tag of this server, so that peers find them without asking Redis.
 *
 * It gives an id to each connection for which the transformer has none. Primus's option `idGenerator` would replace
 * the ids that an application gives to sparks of its own, too. Where the application has set that option, it decides.
 */
export class SparkIds {
  readonly #tag = randomTag()
  /** Primus gives it up when it is destroyed. */
  readonly #transformer: Primus['transformer']
  readonly #original: Primus['transformer']['Spark']
  /** Creates the sparks; `undefined` where ids cannot have a tag. */
  readonly #tagging: Primus['transformer']['Spark'] | undefined

  constructor(private readonly primus: Primus) {
    const { transformer } = primus
    this.#transformer = transformer
    this.#original = transformer.Spark
    if (this.#generated || !WITHOUT_IDS.includes(primus.spec.transformer)) return
    const generate = taggedIds(this.#tag)
    this.#tagging = new Proxy(this.#original, {
      construct(target, args: unknown[], created) {
        args[ID] ??= generate()
        return Reflect.construct(target, args, created) as object
      }
    })
    transformer.Spark = this.#tagging
  }

  /** The tag; `''` while ids have none. */
  get tag(): string {
    const tagging = this.#transformer.Spark === this.#tagging && !this.#generated
    return tagging ? this.#tag : ''
  }

  /** Leave the ids to Primus again. */
  release(): void {
    if (this.#transformer.Spark === this.#tagging) this.#transformer.Spark = this.#original
  }

  /** Whether the application makes the ids. */
  get #generated(): boolean {
    const { idGenerator }: PrimusOptions & { idGenerator?: unknown } = this.primus.options
    return Boolean(idGenerator)
  }
}
