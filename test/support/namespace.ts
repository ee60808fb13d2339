import { randomBytes } from 'node:crypto'

let taken = 0

/**
 * A namespace no other test has, in this run or in any other on the same Redis.
 *
 * It has no colon and no braces, so it stays one part of a key and never becomes a
 * hash tag by accident.
 */
export function namespace(): string {
  return `test-${process.pid}-${++taken}-${randomBytes(4).toString('hex')}`
}
