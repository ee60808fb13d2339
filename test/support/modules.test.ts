import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { assume } from './assume'
import { using } from './dispose'
import { MODULES } from './modules'

const run = promisify(execFile)

/** Prints what each of two loads of a module returned, between which modules are forgotten. */
const program = `
  const { forgetModules } = require(${JSON.stringify(join(__dirname, 'modules.js'))})
  const load = () => { const { name, lives, self } = require('./one.js'); return name + ' ' + lives() + ' ' + self }
  const before = load() + ', ' + load()
  forgetModules()
  console.log(before + ', ' + load())
`

describe('support: the modules of servers', () => {
  let folder: string
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'metroplex-modules-'))
    using(() => rm(folder, { recursive: true, force: true, maxRetries: 3 }))
    await writeFile(join(folder, 'main.js'), program)
    await writeFile(join(folder, 'two.js'), `module.exports = '✓'`)
    await name('first')
  })

  function name(text: string): Promise<void> {
    return writeFile(
      join(folder, 'one.js'),
      `let lives = 0
exports.name = '${text}' + require('./two')
exports.lives = () => ++lives
const here = require('path').basename(__filename) === 'one.js' && require.resolve('./two') === __dirname + '/two.js'
exports.self = here && this === exports`
    )
  }

  async function start(environment: Record<string, string>): Promise<string> {
    const env = { ...process.env, NODE_V8_COVERAGE: undefined, [MODULES]: undefined, ...environment }
    const { stdout } = await run(process.execPath, [join(folder, 'main.js')], { env })
    return stdout.trim()
  }

  it('are run again once they are forgotten', async () => {
    assume(await start({})).equals('first✓ 1 true, first✓ 2 true, first✓ 1 true')
  })

  it('are loaded from the file that the first process has written', async () => {
    const environment = { [MODULES]: join(folder, 'modules') }
    assume(await start(environment)).equals('first✓ 1 true, first✓ 2 true, first✓ 1 true')
    await name('second')
    assume(await start(environment)).equals('first✓ 1 true, first✓ 2 true, first✓ 1 true')
    assume(await start({})).equals('second✓ 1 true, second✓ 2 true, second✓ 1 true')
  })

  it('are loaded as ever when their coverage is measured', async () => {
    const environment = { [MODULES]: join(folder, 'modules') }
    await start(environment)
    await name('second')
    const covered = { ...environment, NODE_V8_COVERAGE: join(folder, 'coverage') }
    assume(await start(covered)).equals('second✓ 1 true, second✓ 2 true, second✓ 1 true')
  })
})
