import { type Deployment, type Fleet } from './fleet'
import { simulate, type Happening, type Scenario, type Second } from './model'

const MINUTE = 60
/** What is ordinary goes on so long before something happens, in seconds. */
export const BEFORE = 30
/** A server's share of sparks in the fleets of the documents. */
const EACH = 10_000

/**
 * A fleet of so many sparks, of which each stays for half an hour and is sent something by another server every ten
 * minutes.
 */
export function ordinary(sparks: number, lifetime = 30 * MINUTE, lease = 15): Fleet {
  return { sparks, servers: Math.max(3, Math.round(sparks / EACH)), lifetime, lookups: sparks / (10 * MINUTE), lease }
}

/** Nothing but the ordinary. */
export function steady(fleet: Fleet): Scenario {
  return { name: 'an ordinary hour', fleet, seconds: BEFORE, happens: () => ({}) }
}

/** All servers are restarted, one after the other, in so many minutes. */
export function deploy(fleet: Fleet, minutes: number): Scenario {
  const rate = fleet.servers / (minutes * MINUTE)
  const due = (second: number): number => Math.floor(Math.min(Math.max(second - BEFORE + 1, 0) * rate, fleet.servers))
  return {
    name: `all servers restarted in ${minutes} min`,
    fleet,
    seconds: BEFORE + minutes * MINUTE + 2 * MINUTE,
    happens: second => ({ restart: due(second) - due(second - 1) })
  }
}

/** Sparks lose their connections all at once, and come back, so many a minute, for five minutes. */
export function storm(fleet: Fleet, perMinute: number): Scenario {
  const minutes = 5
  return {
    name: `${(minutes * perMinute) / 1e6} million cut off, back at ${perMinute / 1e6} million a minute`,
    fleet,
    seconds: BEFORE + (minutes + 5) * MINUTE,
    happens: second => (second === BEFORE ? { cut: minutes * perMinute } : {}),
    returning: perMinute / MINUTE
  }
}

/** So many servers are killed at once. */
export function loss(fleet: Fleet, servers: number): Scenario {
  return {
    name: servers === 1 ? 'a server is killed' : `${servers} servers are killed at once`,
    fleet,
    seconds: BEFORE + 10 * MINUTE,
    happens: (second): Happening => (second === BEFORE ? { die: servers } : {})
  }
}

/** What a scenario comes to. */
export interface Outcome {
  /** Cores asked of the busiest master: on the average until all is right again, and in the worst second. */
  readonly mean: number
  readonly peak: number
  /** In the worst second: of all masters together, a second. */
  readonly commands: number
  readonly bytes: number
  readonly memory: number
  /** In the worst second, in seconds. */
  readonly answer: number
  readonly behind: number
  /**
   * Seconds from the first happening until the registry says what is so, and all servers know; `Infinity`: not in the
   * time that was simulated.
   */
  readonly right: number
}

/** Plays a scenario from where something happens, and sums it up. */
export function outcome(scenario: Scenario, where: Deployment, seed?: number): Outcome {
  const all = [...simulate(scenario, where, seed)]
  const from = scenario.seconds > BEFORE ? BEFORE : 0
  const after = all.slice(from)
  const wrong = after.findLastIndex(second => !isRight(second))
  const during = after.slice(0, Math.max(1, wrong === -1 ? after.length : wrong + 1))
  const most = (of: (second: Second) => number): number =>
    during.reduce((most, second) => Math.max(most, of(second)), 0)
  return {
    mean: during.reduce((sum, { asked }) => sum + asked, 0) / during.length,
    peak: most(({ asked }) => asked),
    commands: most(({ spent }) => spent.commands),
    bytes: most(({ spent }) => spent.received + spent.sent),
    memory: most(({ memory }) => memory),
    answer: most(({ answer }) => answer),
    behind: most(({ behind }) => behind),
    right: wrong === after.length - 1 ? Infinity : wrong + 1
  }
}

/** Whether the registry says what is so, and all servers know who is there. */
function isRight({ sparks, unaware }: Second): boolean {
  return unaware === 0 && [sparks.waiting, sparks.leaving, sparks.stale, sparks.away].every(count => count < 1)
}

/** The largest number, up to `most`, for which something still holds. */
export function largest(holds: (size: number) => boolean, most = 1e10): number {
  let [low, high] = [1, most]
  while (high / low > 1.01) {
    const middle = Math.sqrt(low * high)
    if (holds(middle)) low = middle
    else high = middle
  }
  return low
}
