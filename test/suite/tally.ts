import { appendFileSync } from 'node:fs'
import Mocha from 'mocha'

/** The variable of the environment that says where counts go. */
export const TALLY = 'METROPLEX_TALLY'

/** A test, or a hook, that failed. */
export interface Failure {
  readonly title: string
  /** The compiled file it is in, or '' when it belongs to none. */
  readonly file: string
}

/** What one run of mocha adds to the file of counts, as a line of JSON. */
export interface Count {
  readonly passed: number
  readonly failed: number
  readonly failures: readonly Failure[]
  /** How long the tests and hooks of each file took, in ms. */
  readonly files: Readonly<Record<string, number>>
}

/** Mocha's own reporter, which also adds a line of counts to a file. */
export default class Tally extends Mocha.reporters.Spec {
  constructor(runner: Mocha.Runner, options?: Mocha.MochaOptions) {
    super(runner, options)
    const files: Record<string, number> = {}
    const failures: Failure[] = []
    let passed = 0
    let current = ''
    // The hooks that all files share belong to no file. When files run side by side, the events of each come one after
    // another all the same.
    const add = ({ file, duration = 0 }: Mocha.Runnable): void => {
      current = file ?? current
      files[current] = (files[current] ?? 0) + duration
    }
    runner.on(Mocha.Runner.constants.EVENT_HOOK_END, add)
    runner.on(Mocha.Runner.constants.EVENT_TEST_PASS, (test: Mocha.Test) => {
      passed++
      add(test)
    })
    // That of a hook is one as well.
    runner.on(Mocha.Runner.constants.EVENT_TEST_FAIL, (test: Mocha.Test) => {
      add(test)
      failures.push({ title: test.fullTitle(), file: test.file ?? '' })
    })
    runner.on(Mocha.Runner.constants.EVENT_RUN_END, () => {
      const path = process.env[TALLY]
      const count: Count = { passed, failed: failures.length, failures, files }
      if (path !== undefined) appendFileSync(path, `${JSON.stringify(count)}\n`)
    })
  }
}
