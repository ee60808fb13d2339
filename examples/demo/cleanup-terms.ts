/** What a process of an example must know to clean up when the process that started it has died. */
export interface CleanupTerms {
  readonly redisUrl: string
  /** The folder of the Redis of this run; `''` when the Redis is not ours. */
  readonly redisDirectory: string
  readonly namespace: string
}

/**
 * The environment variable with these values. They are no arguments, because the URL of Redis may hold a password and
 * `ps` shows arguments.
 */
export const CLEANUP_TERMS = 'METROPLEX_DEMO_PART'

/** The values for this process. */
export function cleanupTerms(): CleanupTerms {
  const written = process.env[CLEANUP_TERMS]
  if (written === undefined) throw new Error('This file is a part of the demo: run `npm start`.')
  return JSON.parse(written) as CleanupTerms
}
