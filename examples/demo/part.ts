/** What a process that an example has started is told of its run, so that it can leave nothing behind when it is left alone. */
export interface Part {
  readonly redisUrl: string
  /** Where the Redis of this run keeps its files; `''` when the Redis is somebody else's. */
  readonly redisDirectory: string
  readonly namespace: string
}

/** The variable of the environment in which a part is handed over: the URL of Redis may hold a password, and arguments would show it to `ps`. */
export const PART = 'METROPLEX_DEMO_PART'

/** The part of this process. */
export function part(): Part {
  const written = process.env[PART]
  if (written === undefined) throw new Error('This file is a part of the demo: run `npm start`.')
  return JSON.parse(written) as Part
}
