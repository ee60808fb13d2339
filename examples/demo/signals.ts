/** What ends a run; the number is what a shell makes of it. */
export const SIGNALS = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const

/** How often it is asked whether npm's shell is still there, in ms. */
const ORPHANED = 250

/** Resolves with the first signal that ends the run. Later ones change nothing: npm passes on what the terminal sent already. */
export function signal(): Promise<keyof typeof SIGNALS> {
  return new Promise(resolve => {
    for (const name of Object.keys(SIGNALS) as (keyof typeof SIGNALS)[]) process.on(name, () => { resolve(name) })
    // `npm start | head`: nobody listens to the story any more.
    process.stdout.on('error', () => { resolve('SIGHUP') })
    // npm hands SIGTERM to the shell between us, which dies of it without a word.
    const { ppid } = process
    if (process.env['npm_lifecycle_event'] === 'start') {
      setInterval(() => { if (process.ppid !== ppid) resolve('SIGTERM') }, ORPHANED).unref()
    }
  })
}
