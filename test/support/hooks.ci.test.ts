import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { assume } from './assume'
import { using } from './dispose'
import { load } from './primus-types'

/** What mocha's json reporter tells, as far as we look. */
interface Outcome {
  fullTitle: string
  err: { message?: string }
}

/**
 * The leak that our hooks have to find, for the source of a fixture: a timer that never ends by itself, and holds its
 * process. Nothing waits for it.
 */
const LEAK = 'setInterval(() => {}, 60_000)'

/** Runs mocha with our hooks over one file, and resolves with each failure by its title. */
async function failures(source: string): Promise<Map<string, string>> {
  const directory = await mkdtemp(join(tmpdir(), 'metroplex-hooks-'))
  using(() => rm(directory, { recursive: true }))
  const file = join(directory, 'fixture.js')
  await writeFile(file, source)
  const mocha = join(load.resolve('mocha/package.json'), '../bin/mocha.js')
  const stdout = await new Promise<string>(resolve => {
    execFile(
      process.execPath,
      [
        // What has leaked would hold it for ever.
        mocha,
        '--no-config',
        '--exit',
        '--reporter',
        'json',
        '--require',
        join(__dirname, 'hooks.js'),
        file
      ],
      (_error, output) => resolve(output)
    )
  })
  const report = JSON.parse(stdout) as { failures: Outcome[] }
  return new Map(report.failures.map(({ fullTitle, err }) => [fullTitle, err.message ?? '']))
}

describe('support: the hooks', () => {
  it('fail exactly the test which left something behind or had an accident, and go on', async () => {
    const found = await failures(`
      const { using } = require(${JSON.stringify(join(__dirname, 'dispose.js'))})
      it('is clean', () => {})
      let leak
      it('leaks', () => { leak = ${LEAK} })
      it('is clean, and ends what the one before has left', () => { clearInterval(leak) })
      it('drops a rejection', async () => { Promise.reject(new Error('dropped')) })
      it('piles listeners up', () => { for (let i = 0; i < 40; i++) process.on('pile', () => {}) })
      it('cannot be disposed of', () => { using(() => { throw new Error('stuck') }) })
      it('fails by itself', () => { using(() => { throw new Error('a consequence') }); throw new Error('the cause') })
      it('is clean, too', () => { using(() => {}) })
    `)
    assume([...found.keys()]).deep.equals([
      'leaks',
      'drops a rejection',
      'piles listeners up',
      'cannot be disposed of',
      'fails by itself'
    ])
    assume(found.get('leaks')).includes('1 Timeout')
    assume(found.get('drops a rejection')).includes('dropped')
    assume(found.get('piles listeners up')).includes('MaxListeners')
    assume(found.get('cannot be disposed of')).equals('stuck')
    assume(found.get('fails by itself')).equals('the cause')
  })

  it('fail the run when a suite did not end what it started', async () => {
    const found = await failures(`
      before(() => { ${LEAK} })
      it('is clean', () => {})
    `)
    assume([...found.values()].join()).includes('a before hook')
  })
})
