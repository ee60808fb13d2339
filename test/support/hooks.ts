/**
 * Mocha's root hooks: after each test what it started is ended, and the test fails if
 * something is left over or happened behind its back.
 */
import { Accidents } from './accidents'
import { closeScope, openScope } from './dispose'
import { leaksSince, snapshot, type Snapshot } from './leaks'
import { findRedis } from './redis-binary'

const patience = 120_000
const accidents = new Accidents()
let suite: Snapshot | undefined
let test: Snapshot | undefined

// Without a listener SIGTERM ends the process without 'exit', and so without killing
// the servers it started; `timeout 600 npm test` sends one.
process.once('SIGTERM', () => process.exit(143))

accidents.watch()
// Not by the flag of Node.js: all processes that a test forks would inherit it, and each would read a map for every
// file it loads.
process.setSourceMapsEnabled(true)

/**
 * Before everything, once, also when the files run side by side: an installation would exceed the timeout of the test
 * that comes first, and two at the same time would be in each other's way. A test that needs Redis reports the failure.
 */
export async function mochaGlobalSetup(): Promise<void> {
  await findRedis().catch(() => undefined)
}

export const mochaHooks: Mocha.RootHookObject = {
  async beforeAll(this: Mocha.Context): Promise<void> {
    this.timeout(patience)
    suite = await snapshot()
  },

  async beforeEach(this: Mocha.Context): Promise<void> {
    this.timeout(patience)
    openScope()
    test = await snapshot()
  },

  async afterEach(this: Mocha.Context): Promise<void> {
    this.timeout(patience)
    const errors = await closeScope()
    const leaks = test ? await leaksSince(test) : []
    if (leaks.length > 0) errors.push(new Error(`the test left behind:\n${leaks.join('\n')}`))
    errors.push(...(await accidents.take()))
    fail(this, errors)
  },

  async afterAll(this: Mocha.Context): Promise<void> {
    this.timeout(patience)
    const errors = await accidents.take()
    const leaks = suite ? await leaksSince(suite) : []
    if (leaks.length > 0)
      errors.push(new Error(`a suite left behind what it started in a before hook:\n${leaks.join('\n')}`))
    if (errors.length > 0) throw combine(errors)
  }
}

/** Fails the test which has just run, and only that: an error thrown by a root hook would end the whole run. */
function fail(context: Mocha.Context, errors: Error[]): void {
  // A test which failed already has the better explanation of what it left behind.
  if (errors.length === 0 || context.currentTest?.state === 'failed') return
  const hook = context.test as Mocha.Hook
  hook.error(combine(errors))
}

function combine(errors: Error[]): Error {
  const [first] = errors
  return errors.length === 1 && first
    ? first
    : new AggregateError(errors, errors.map(error => error.message).join('\n'))
}
