import { MetroplexError, shown } from './errors'

/** The JSON text of a message that can be sent as it is. @throws MetroplexError `EMESSAGE` */
export function encoded(msg: unknown): string {
  if (typeof msg === 'string' && msg.startsWith('primus::')) {
    throw new MetroplexError('EMESSAGE', `A message must not begin with primus::, which Primus's clients take for protocol; given: ${shown(msg)}.`)
  }
  if (ArrayBuffer.isView(msg) || msg instanceof ArrayBuffer) {
    throw new MetroplexError('EMESSAGE', `Binary messages cannot travel between servers on omega-supreme's wire; given: ${shown(msg)}.`)
  }
  let text: string | undefined
  let cause: unknown
  try {
    text = JSON.stringify(msg)
  } catch (error) {
    cause = error
  }
  if (text === undefined) {
    throw new MetroplexError('EMESSAGE', `A message must be a JSON value; given: ${shown(msg)}.`, { cause })
  }
  return text
}

/** An id as the registry knows it. @throws TypeError for what is neither a number nor a string that is not empty */
export function idOf(id: unknown): string {
  if (typeof id === 'string' && id !== '') return id
  if (typeof id === 'number') return String(id)
  throw new TypeError(`metroplex: a spark id must be a string that is not empty; given: ${shown(id)}.`)
}

/** An id that Primus has, to compare with ours: an application's `idGenerator` may make numbers. */
export function plain(id: unknown): unknown {
  return typeof id === 'number' ? String(id) : id
}

/** Ids as the registry knows them, each once. @throws TypeError */
export function idsOf(ids: unknown): string[] {
  if (!Array.isArray(ids)) throw new TypeError(`metroplex: spark ids must be an array of strings; given: ${shown(ids)}.`)
  return [...new Set(ids.map(idOf))]
}

/** Add to a list that is kept under a name. */
export function file<K, V>(lists: Map<K, V[]>, name: K, value: V): void {
  const list = lists.get(name)
  if (list) list.push(value)
  else lists.set(name, [value])
}
