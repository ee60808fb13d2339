/** The signals that end a run, with their exit codes. */
export const SIGNALS = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const

/** How often to check whether npm's shell is still running, in ms. */
const ORPHANED = 250

/**
 * Resolves with the first signal that ends the run. Later ones are ignored: npm forwards signals that the terminal
 * has sent already.
 */
export function signal(): Promise<keyof typeof SIGNALS> {
  return new Promise(resolve => {
    for (const name of Object.keys(SIGNALS) as (keyof typeof SIGNALS)[])
      process.on(name, () => {
        resolve(name)
      })
    // `npm start | head`: the reader of the output has gone.
    process.stdout.on('error', () => {
      resolve('SIGHUP')
    })
    // npm sends SIGTERM to the shell between it and us, which dies without forwarding it.
    const { ppid } = process
    if (process.env['npm_lifecycle_event'] === 'start') {
      setInterval(() => {
        if (process.ppid !== ppid) resolve('SIGTERM')
      }, ORPHANED).unref()
    }
  })
}
