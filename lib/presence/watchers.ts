import { inspectValue } from '../common/errors'
import type { WatchHandlers } from '../common/types'
import type { Announcement } from './announcement'

const KNOWN: readonly string[] = ['online', 'offline', 'occupied', 'vacated'] satisfies (keyof WatchHandlers)[]

/** The handlers of `watch` in this process. */
export class Watchers {
  readonly #all = new Set<WatchHandlers>()

  /** Whether there are any. */
  get some(): boolean {
    return this.#all.size > 0
  }

  /** Add handlers. @returns a function that removes them @throws TypeError for a value that is no set of handlers */
  add(handlers: unknown): () => void {
    const own = checked(handlers)
    this.#all.add(own)
    return () => {
      this.#all.delete(own)
    }
  }

  /** Call the handlers of an announcement. Resolves when all have settled; rejects with the first failure. */
  async tell({ event, name, details }: Announcement): Promise<void> {
    const calls = [...this.#all].map(async handlers => {
      await handlers[event]?.(name, details as never)
    })
    for (const one of await Promise.allSettled(calls)) if (one.status === 'rejected') throw one.reason
  }
}

/** The functions of an object, so that a later change of it changes nothing. */
function checked(given: unknown): WatchHandlers {
  const allowed = `metroplex: \`watch\` takes an object with one or more of the functions ${KNOWN.join(', ')}; given: `
  if (typeof given !== 'object' || given === null) throw new TypeError(`${allowed}${inspectValue(given)}.`)
  const handlers = given as Record<string, unknown>
  // An object of a class of the application may have more than handlers.
  const unknown = isPlain(given) ? Object.keys(given).find(key => !KNOWN.includes(key)) : undefined
  if (unknown !== undefined) throw new TypeError(`${allowed}an object with \`${unknown}\`.`)
  const own: Record<string, unknown> = {}
  for (const event of KNOWN) {
    const handler = handlers[event]
    if (handler === undefined) continue
    if (typeof handler !== 'function') throw new TypeError(`${allowed}${inspectValue(handler)} as \`${event}\`.`)
    own[event] = handler.bind(given) as unknown
  }
  if (Object.keys(own).length === 0) throw new TypeError(`${allowed}an object with none of them.`)
  return own
}

function isPlain(object: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(object)
  return prototype === Object.prototype || prototype === null
}
