import { asError, MetroplexError } from '../common/errors'

/** A request that is not answered as asked: the status of its answer, and a sentence. */
export class PageRefusal extends Error {
  constructor(
    readonly status: number,
    sentence: string,
    readonly headers: Readonly<Record<string, string>> = {}
  ) {
    super(sentence)
    this.name = 'PageRefusal'
  }
}

/** What an error means for the page. */
export function pageRefusalOf(error: unknown): PageRefusal {
  if (error instanceof PageRefusal) return error
  const failure = asError(error)
  return new PageRefusal(statusOf(failure), sentenceOfError(failure))
}

/** The message of an error, without what only a log needs. */
export function sentenceOfError(error: unknown): string {
  return asError(error).message.replace(/^metroplex: /, '')
}

function statusOf(failure: Error): number {
  // Those of wrong arguments name us. Others are faults of the page.
  const argument = failure instanceof TypeError || failure instanceof RangeError
  if (argument && failure.message.startsWith('metroplex: ')) return 400
  if (!(failure instanceof MetroplexError)) return 500
  // The cluster, and not this process, cannot answer.
  return failure.code === 'EREGISTRY' ? 503 : 502
}
