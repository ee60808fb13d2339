import { Accidents } from './accidents'
import { closeScope, openScope } from './dispose'

/** Print a line. */
export function say(line: string): void {
  process.stdout.write(`${line}\n`)
}

/** A random seed. The caller prints it, so that the run can be repeated. */
export function anySeed(): number {
  return Date.now() % 1_000_000
}

/**
 * End by a signal as by `process.exit`: without a listener there is no 'exit', and the servers that were started live
 * on.
 */
export function endOnSignals(): void {
  process.once('SIGTERM', () => process.exit(143))
  process.once('SIGINT', () => process.exit(130))
}

/**
 * Do what this process is for. It ends with the exit code that `main` resolves with, or with 1 and the stack when that
 * rejects; and by signals.
 */
export function command(main: () => Promise<number>): void {
  endOnSignals()
  main().then(
    code => process.exit(code),
    (error: unknown) => {
      process.stderr.write(`${String(error instanceof Error ? error.stack : error)}\n`)
      process.exit(1)
    }
  )
}

/**
 * Try something that is as it should be, or throws; print the figures that it resolves with, and how long it took. What
 * it has started is ended afterwards, and what happened behind its back counts.
 *
 * @param judge - Throws when figures that were printed are not as they should be
 * @returns the exit code: 0 when nothing was wrong
 */
export async function trial<T extends object>(
  seed: number,
  run: () => Promise<T>,
  judge: (figures: T) => void = () => undefined
): Promise<number> {
  const accidents = new Accidents()
  accidents.watch()
  openScope()
  const began = performance.now()
  let failed = true
  try {
    const figures = await run()
    say(JSON.stringify(figures, null, 2))
    judge(figures)
    say(`all is as it should be, after ${Math.round((performance.now() - began) / 1000)} s; seed ${seed}`)
    failed = false
  } catch (error) {
    say(`seed ${seed}: ${String((error as Error).stack)}`)
  }
  const errors = [...(await closeScope()), ...(await accidents.take())]
  for (const error of errors) say(String(error.stack))
  return failed || errors.length > 0 ? 1 : 0
}
