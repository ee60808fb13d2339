/** What a worker and its supervisor tell each other stands under this key: all else is the application's. */
const KEY = 'metroplex:worker'

/** In a worker's environment: its name, its type, and what it has to know before it is told anything. */
export const ENVIRONMENT = 'METROPLEX_WORKER'

/** What stands there, as JSON. */
export interface Badge {
  readonly name: string
  readonly type: string
  /** How long it may take to end, in ms, when nobody is left to tell it. */
  readonly grace: number
  /** The process that supervises it: an environment is inherited, also by those whom nobody supervises. */
  readonly primary: number
}

/** What a worker tells: it hears us; it is ready; it ends by itself; it has let go of its work; something of its operation. */
export type Report = { readonly is: 'here' | 'ready' | 'leaving' | 'done' } | { readonly is: 'ops'; readonly message: unknown }

/** What a worker is told. */
export interface Order {
  readonly is: 'drain'
  /** How long it may take, in ms. */
  readonly grace: number
}

/** Put something of ours into words. */
export function wrap(message: Report | Order): object {
  return { [KEY]: message }
}

/** What of ours is in a message; `undefined` for one of the application's. */
export function unwrap(message: unknown): Report | Order | undefined {
  if (typeof message !== 'object' || message === null || !(KEY in message)) return undefined
  return message[KEY] as Report | Order
}
