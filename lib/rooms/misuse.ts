/** What can be misused; each is warned of once. */
export type Misuse = 'wildcard' | 'transformer' | 'channel'

const warned = new Set<Misuse>()

/**
 * The error for what these rooms refuse.
 *
 * Names of rooms come from clients, so it must not end the process, and a throw within a broadcast would leave
 * primus-rooms with rooms that belong to it. So the error is reported; a warning tells the developer.
 */
export function misused(what: Misuse, sentence: string): TypeError {
  if (!warned.has(what)) process.emitWarning(sentence, { code: 'METROPLEX_ROOMS' })
  warned.add(what)
  return new TypeError(sentence)
}
