import { execFile, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { assume } from '../support/assume'
import { using } from '../support/dispose'
import { killAtExit } from '../support/orphans'
import { sorted, testFiles } from './files'

/** Run a program of this folder. @returns its exit code, and the last line that it wrote */
async function run(
  program: string,
  args: string[],
  env: NodeJS.ProcessEnv = {}
): Promise<{ code: unknown; last: string | undefined }> {
  const options = { timeout: 50_000, env: { ...process.env, ...env } }
  return new Promise(resolve => {
    execFile(process.execPath, [join(__dirname, program), ...args], options, (error, stdout) => {
      resolve({ code: error === null ? 0 : error.code, last: stdout.trimEnd().split('\n').at(-1) })
    })
  })
}

describe('the suite', () => {
  it('runs a file beside many, few or none, always or in the complete run, by the end of its name', () => {
    const { usual, ci } = sorted(['a', 'b.alone', 'c/d.ci', 'e.other', 'ci', 'model', 'f.ci.alone', 'g.ci.serial'])
    const names = [usual.beside, usual.alone, ci.beside, ci.alone, ci.serial].map(files =>
      files.map(file => basename(file, '.test.js'))
    )
    assume(names).eql([['model', 'a', 'ci', 'e.other'], ['b.alone'], ['d.ci'], ['f.ci.alone'], ['g.ci.serial']])
  })

  it('runs each file of tests', () => {
    const { usual, ci } = testFiles()
    const all = [usual, ci].flatMap(({ beside, alone, serial }) => [...beside, ...alone, ...serial])
    assume(all).includes(__filename)
    assume(new Set(all).size).equals(all.length)
    assume(ci.beside.map(file => basename(file))).includes('topologies.ci.test.js')
    assume(ci.alone.map(file => basename(file))).includes('deaths.ci.alone.test.js')
  })

  it('ends its output with how many tests have passed and failed', async () => {
    assume(await run('run.js', ['support/namespace'])).eql({ code: 0, last: '1 passed, 0 failed' })
    assume(await run('run.js', ['nothing has this name'])).eql({ code: 1, last: '0 passed, 1 failed' })
  })

  it('gives a file with a failure a second try in the complete run, and only there', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'metroplex-suite-'))
    using(() => rm(folder, { recursive: true, force: true }))
    const mark = join(folder, 'mark')
    const env = { METROPLEX_SECOND_TRY: mark }
    assume(await run('run.js', ['suite/second-try'], env)).eql({ code: 1, last: '0 passed, 1 failed' })
    await rm(mark)
    const complete = await run('run.js', ['suite/second-try', '--complete'], env)
    assume(complete).eql({ code: 0, last: '1 passed, 0 failed' })
  })

  it('runs on processors that are kept busy, which ends with it', async () => {
    assume(await run('busy.js', ['support/namespace'])).eql({ code: 0, last: '1 passed, 0 failed' })
  })

  it('keeps no processor busy when the program that wanted it has gone', async () => {
    const child = fork(join(__dirname, 'busy.js'), ['--spin'], { stdio: 'ignore' })
    killAtExit(child)
    const exit = once(child, 'exit')
    child.disconnect()
    assume(await exit).eql([0, null])
  })
})
