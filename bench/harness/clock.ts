import { readFileSync } from 'node:fs'

/**
 * Milliseconds by the monotonic clock of this machine, so that times of two processes can be compared: `performance`
 * begins anew in each.
 */
export function now(): number {
  const [seconds, nanoseconds] = process.hrtime()
  return seconds * 1e3 + nanoseconds / 1e6
}

/** Microseconds of CPU that this process has used since it started, for itself and in the kernel. */
export function cpu(): number {
  const { user, system } = process.cpuUsage()
  return user + system
}

/**
 * Of the CPU of this machine, if it is a virtual one, what its host has given to others instead, and all there was; in
 * units of the kernel.
 */
export interface Shared {
  readonly stolen: number
  readonly all: number
}

/** Since the machine started; nothing where the kernel does not tell. */
export function shared(): Shared {
  try {
    const [, ...parts] = (readFileSync('/proc/stat', 'utf8').split('\n')[0] ?? '').trim().split(/ +/).map(Number)
    // Behind what is stolen stands what others have used who are counted already.
    return { stolen: parts[7] ?? 0, all: parts.slice(0, 8).reduce((sum, part) => sum + part, 0) }
  } catch {
    return { stolen: 0, all: 0 }
  }
}
