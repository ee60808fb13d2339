import { PageRefusal } from '../refusal'

/** What a request to the page's API carries. */
export interface ApiRequest {
  readonly query: URLSearchParams
  /** The body, read as JSON; empty for GET. */
  readonly body: Readonly<Record<string, unknown>>
}

/** Answers one kind of request. It rejects with a sentence. */
export type ApiRoute = (request: ApiRequest) => Promise<unknown>

/** A text that has to be there. @throws PageRefusal 400 */
export function textIn({ query }: ApiRequest, name: string): string {
  const text = query.get(name) ?? ''
  if (text !== '') return text
  throw new PageRefusal(400, `The request lacks ${name}.`)
}

/** A whole number, 0 if it is not there. @throws PageRefusal 400 */
export function numberIn({ query }: ApiRequest, name: string): number {
  const text = query.get(name) ?? '0'
  if (/^\d{1,12}$/.test(text)) return Number(text)
  throw new PageRefusal(400, `${name} must be a whole number from 0; given: ${text}.`)
}
