/** Milliseconds by the monotonic clock of this machine, so that times of two processes can be compared: `performance` begins anew in each. */
export function now(): number {
  const [seconds, nanoseconds] = process.hrtime()
  return seconds * 1e3 + nanoseconds / 1e6
}

/** Microseconds of CPU that this process has used since it started, for itself and in the kernel. */
export function cpu(): number {
  const { user, system } = process.cpuUsage()
  return user + system
}
