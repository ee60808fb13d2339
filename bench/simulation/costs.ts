import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** What an operation costs Redis. */
export interface Cost {
  /** Microseconds of its CPU. */
  readonly cpu: number
  /** Commands from clients; a script is one. */
  readonly commands: number
  /** Round trips: commands that travel together are one. */
  readonly trips: number
  /** Bytes. */
  readonly received: number
  readonly sent: number
}

/** An operation on `n` things at once, all of it: a commit of `n` ids, a list of `n` servers. */
export interface Point extends Cost {
  readonly n: number
}

/** What is measured, each with what its `n` counts. */
export const OPERATIONS = {
  connect: 'ids in a commit',
  disconnect: 'ids in a commit',
  beat: 'beats',
  agree: 'values that all servers share',
  join: 'servers',
  leave: 'servers',
  listed: 'servers on the list',
  changes: 'servers that have come or gone',
  census: 'servers on the list',
  vitals: 'servers on the list',
  reap: 'sparks',
  heal: 'sparks',
  audit: 'sparks',
  stray: 'owners of the 500 entries on a page',
  lookup: 'ids in a question'
} as const

export type Operation = keyof typeof OPERATIONS

/** Bytes of Redis's memory. */
export interface Memory {
  readonly spark: number
  readonly server: number
  readonly connection: number
}

/** The costs of all operations on one kind of Redis, each at growing `n`. */
export interface Prices {
  readonly operations: Readonly<Record<Operation, readonly Point[]>>
  readonly memory: Memory
  /** Microseconds that a round trip costs more when Redis had nothing to do and slept. */
  readonly wake: number
}

/** Where prices were measured. */
export type Setting = 'one' | 'cluster4' | 'cluster16'

/** The contents of `costs.json`. */
export interface Costs {
  /** What they hold for: machine, versions, date, command. */
  readonly about: Readonly<Record<string, string | number>>
  readonly prices: Readonly<Record<Setting, Prices>>
}

const NOTHING: Cost = { cpu: 0, commands: 0, trips: 0, received: 0, sent: 0 }
const FIGURES = ['cpu', 'commands', 'trips', 'received', 'sent'] as const

/** Where the costs stand that the documents go by; beside the sources, so that a build does not lose them. */
export const COSTS = join(__dirname, '..', '..', '..', 'bench', 'simulation', 'costs.json')

/** The costs as they were measured last. */
export function readCosts(): Costs {
  return JSON.parse(readFileSync(COSTS, 'utf8')) as Costs
}

/** A cost, figure by figure. */
export function costOf(figure: (name: keyof Cost) => number): Cost {
  return Object.fromEntries(FIGURES.map(name => [name, figure(name)])) as unknown as Cost
}

/** Costs of several things together, each so many times. */
export function sum(...parts: readonly (readonly [times: number, cost: Cost])[]): Cost {
  return parts.reduce<Cost>((all, [times, cost]) => costOf(name => all[name] + times * cost[name]), NOTHING)
}

/**
 * What an operation costs on `n` things: on a straight line between the two sizes that were measured on either side, or
 * through the nearest two. One that was measured at one size alone grows with `n`.
 */
export function priceOf({ operations }: Prices, operation: Operation, n: number): Cost {
  const points = operations[operation]
  const above = points.findIndex(point => point.n >= n)
  const upper = points[above === -1 ? points.length - 1 : Math.max(above, Math.min(1, points.length - 1))]
  if (upper === undefined) throw new Error(`No price was measured for '${operation}'.`)
  const lower = points[points.indexOf(upper) - 1]
  if (lower === undefined) return sum([n / upper.n, upper])
  const way = (n - lower.n) / (upper.n - lower.n)
  // Of two sizes that cost nearly the same, the line may lead below nothing.
  return costOf(name => Math.max(0, lower[name] + way * (upper[name] - lower[name])))
}
