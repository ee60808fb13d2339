/** A question that was not answered as asked. */
export class Unanswered extends Error {
  constructor(
    /** The status of the answer; 0: there was none. */
    readonly status: number,
    sentence: string
  ) {
    super(sentence)
  }
}

/** The token, if one is asked for; each tab keeps its own. */
const TOKEN = 'metroplex-token'

/** Keep a token for the questions that follow. */
export function logIn(token: string): void {
  sessionStorage.setItem(TOKEN, token)
}

/** How long an answer may take, in ms: a diagnosis asks all servers. */
const PATIENCE = 30_000

/** Ask the process that serves the page. @param body what is to be done; without it, nothing is */
export async function ask<T>(what: string, query: Record<string, string> = {}, body?: object): Promise<T> {
  const token = sessionStorage.getItem(TOKEN)
  const response = await fetch(`api/${what}?${new URLSearchParams(query).toString()}`, {
    method: body === undefined ? 'GET' : 'POST',
    headers: {
      ...(token !== null && { authorization: `Bearer ${token}` }),
      ...(body !== undefined && { 'content-type': 'application/json' })
    },
    signal: AbortSignal.timeout(PATIENCE),
    ...(body !== undefined && { body: JSON.stringify(body) })
  }).catch((error: unknown) => {
    throw new Unanswered(0, `The process that serves this page does not answer (${String(error)}).`)
  })
  const answer = (await response.json().catch(() => null)) as { error?: string } | null
  if (response.ok && answer !== null) return answer as T
  throw new Unanswered(response.status, answer?.error ?? `The answer has the status ${response.status}.`)
}
