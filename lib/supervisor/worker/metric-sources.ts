import { mergeFamilies, type Family } from '../../common/exposition/family'
import { processFamilies } from '../../common/exposition/process'

/** The question for the metrics of a worker. */
export const METRICS = 'metrics'

/** What a worker tells its supervisor: the numbers of its process, and of the servers in it. */
export class MetricSources {
  readonly #sources = new Set<() => Family[]>()

  /** Export numbers from now on. @returns a function that ends this */
  add(source: () => Family[]): () => void {
    this.#sources.add(source)
    return () => {
      this.#sources.delete(source)
    }
  }

  /** All numbers now. Where a process has several servers, the label `part` tells them apart. */
  get families(): Family[] {
    const several = this.#sources.size > 1
    return mergeFamilies([
      { families: processFamilies(), labels: {} },
      ...[...this.#sources].map((source, at) => ({
        families: source(),
        labels: several ? { part: String(at + 1) } : {}
      }))
    ])
  }
}
