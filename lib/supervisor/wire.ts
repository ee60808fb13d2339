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

const REPORTS = ['here', 'ready', 'leaving', 'done'] as const

/** What a worker tells: it hears us; it is ready; it ends by itself; it has let go of its work; something of its operation. */
export type Report = { readonly is: (typeof REPORTS)[number] } | { readonly is: 'ops'; readonly message: unknown }

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

/** What a worker has told of itself; `undefined` for a message of the application's. */
export function reportOf(message: unknown): Report | undefined {
  const ours = unwrap(message)
  return ours?.is === 'ops' || REPORTS.some(known => known === ours?.is) ? ours as Report : undefined
}

/** What a worker has been told to do; `undefined` for a message of the application's. */
export function orderOf(message: unknown): Order | undefined {
  const ours = unwrap(message)
  return ours?.is === 'drain' && typeof ours.grace === 'number' ? ours as Order : undefined
}

function unwrap(message: unknown): { readonly is?: unknown; readonly grace?: unknown } | undefined {
  if (typeof message !== 'object' || message === null || !Object.hasOwn(message, KEY)) return undefined
  const ours = (message as Record<string, unknown>)[KEY]
  return typeof ours === 'object' && ours !== null ? ours : undefined
}
