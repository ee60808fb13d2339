import { InvalidArgumentError } from 'commander'

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
