import { aptInstall, findOrInstall, onPath, type NeededProgram } from './installed'

const REDIS: NeededProgram = {
  names: ['redis-server', 'valkey-server'],
  managers: [
    aptInstall('redis-server'),
    { command: 'apk', steps: [['add', '--no-cache', 'redis']], root: true },
    { command: 'dnf', steps: [['install', '-y', 'redis']], root: true },
    { command: 'yum', steps: [['install', '-y', 'redis']], root: true },
    { command: 'pacman', steps: [['-Sy', '--noconfirm', 'redis']], root: true },
    { command: 'brew', steps: [['install', 'redis']], root: false }
  ],
  missing: 'no redis-server or valkey-server on the PATH, and the tests and examples need a real one',
  unavailable: reason =>
    `There is no redis-server or valkey-server and it could not be installed (${reason}): ` +
    'install redis 6.2 or later by hand, so that it is on the PATH, or set REDIS_URL to a Redis that runs',
  // RUNLEVEL=1 keeps Debian's package from starting the service we have no use for.
  environment: { DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' }
}

/**
 * The path of a `redis-server` or `valkey-server`, installing one when there is none, as `findOrInstall` does.
 *
 * @param say - Told in one line what is done and why, before it is done. @default a line on stderr
 * @throws An error which says in one sentence what to install by hand.
 */
export function findRedis(say?: (line: string) => void): Promise<string> {
  return findOrInstall(REDIS, say)
}

/** The path of a `valkey-server`, if there is one on the PATH; none is installed. */
export function findValkey(): string | undefined {
  return onPath(['valkey-server'])
}
