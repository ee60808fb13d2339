import { InvalidArgumentError } from 'commander'
import { misuse } from '../output/failure'

/** Parses a whole number of at least 1. */
export function wholeNumber(given: string): number {
  if (/^[1-9]\d{0,14}$/.test(given)) return Number(given)
  throw new InvalidArgumentError('It must be a whole number, 1 or more.')
}

/** Parses seconds between two reports; `--watch` without a value is 2 seconds. */
export function secondsOf(given: string): number {
  const seconds = Number(given)
  if (/^\d+(\.\d+)?$/.test(given) && seconds >= 0.1 && seconds <= 86_400) return seconds
  throw new InvalidArgumentError('It must be a number of seconds, from 0.1 to 86400.')
}

/** The seconds of `--watch`; `undefined` without it. */
export function watched(watch: number | true | undefined): number | undefined {
  return watch === true ? 2 : watch
}

/** Collects the values of an option that may be repeated. */
export function severalTexts(given: string, before: readonly string[] = []): readonly string[] {
  return [...before, given]
}

/** Reads a value that is given as JSON. @throws CommandFailure that says how to give text */
export function jsonValue(given: string, what: string): unknown {
  try {
    return JSON.parse(given) as unknown
  } catch {
    throw misuse(`${what} is not JSON: put quotes around it, as in '"hello"', or add --text to give it as text.`)
  }
}

/** Parses a number of sparks a second. @param most the highest one that servers take */
export function rateUpTo(most: number): (given: string) => number {
  return given => {
    const rate = Number(given)
    if (/^\d+(\.\d+)?$/.test(given) && rate > 0 && rate <= most) return rate
    const bound = most === Infinity ? '' : ` and at most ${most}`
    throw new InvalidArgumentError(`It must be a number of sparks a second, above 0${bound}.`)
  }
}
