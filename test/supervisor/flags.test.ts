import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { flagsOf, nodeOptionsOf } from '../../lib/supervisor/process/node-flags'
import { assume } from '../support/assume'
import { using } from '../support/dispose'
import { killAtExit } from '../support/orphans'
import { once } from '../support/wait'

const LIB = join(__dirname, '..', '..', 'lib')
const MAIN = `const { Supervisor } = require('${LIB}/supervisor')
  const supervisor = new Supervisor({ web: { exec: './job.js' } }, { output: 'event' })
  supervisor.on('message', (_worker, message) => console.log('said ' + JSON.stringify(message)))
  supervisor.on('output', (_worker, _stream, line) => console.log(line))
  supervisor.start().then(() => supervisor.stop()).then(() => process.exit(), error => {
    console.log(error.message)
    process.exit(9)
  })`

describe('supervisor: flags of Node.js that it was started with', function () {
  this.timeout(60_000)

  /**
   * What a supervisor says whose process was started with those arguments, in a folder with a job, and what its job
   * says.
   */
  async function said(args: readonly string[], input = ''): Promise<{ job: unknown; text: string }> {
    const folder = mkdtempSync(join(tmpdir(), 'metroplex-flags-'))
    using(() => {
      rmSync(folder, { recursive: true, force: true })
    })
    writeFileSync(
      join(folder, 'job.js'),
      `const wasWaiting = process.execArgv.some(flag => /brk/.test(flag))
      const seen = { job: true, hook: globalThis.hook ?? null, env: process.env.FROM_FILE ?? null, wasWaiting }
      process.send(seen, () => process.send('ready'))
      setInterval(() => {}, 1000)`
    )
    writeFileSync(join(folder, 'job.mjs'), `import './job.js'`)
    writeFileSync(join(folder, 'main.js'), MAIN)
    writeFileSync(join(folder, 'hook.js'), `globalThis.hook = 'required'`)
    writeFileSync(join(folder, 'hook.mjs'), `globalThis.hook = 'imported'`)
    writeFileSync(join(folder, '.env'), 'FROM_FILE=yes')
    writeFileSync(join(folder, 'one.test.js'), MAIN)
    const child = spawn(process.execPath, args, {
      cwd: folder,
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, NODE_OPTIONS: '' }
    })
    killAtExit(child)
    let text = ''
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => {
        text += chunk.toString()
      })
    const closed = once(child, 'close', { within: 50_000 })
    child.stdin.end(input)
    const [code] = await closed
    assume(code).equals(0, text)
    const [, job = 'null'] = /said (\{.*\})/.exec(text) ?? []
    return { job: JSON.parse(job) as unknown, text }
  }

  const job = { job: true, hook: null, env: null, wasWaiting: false }
  const programs: [how: string, args: string[], input?: string][] = [
    ['-e', ['-e', MAIN]],
    ['--eval=', [`--eval=${MAIN}`]],
    ['-p', ['-p', MAIN]],
    ['-pe', ['-pe', MAIN]],
    ['--print', ['--print', MAIN]],
    ['--input-type', ['--input-type=commonjs', '-e', MAIN]],
    ['--input_type, for a module', ['--input_type=commonjs', '-e', MAIN.replace('job.js', 'job.mjs')]],
    ['standard input', ['-'], MAIN],
    ['--test', ['--test', 'one.test.js']]
  ]
  for (const [how, args, input] of programs) {
    it(`do not name the program of a worker: ${how}`, async () => {
      assume((await said(args, input)).job).deep.equals(job)
    })
  }

  it('are those of a worker, too, when they load something', async () => {
    assume((await said(['-r', './hook.js', 'main.js'])).job).deep.equals({ ...job, hook: 'required' })
    assume((await said(['--import=./hook.mjs', 'main.js'])).job).deep.equals({ ...job, hook: 'imported' })
    assume((await said(['--env-file', '.env', '-r', './hook.js', '-e', MAIN])).job).deep.equals({
      ...job,
      hook: 'required',
      env: 'yes'
    })
  })

  it('have no worker wait for a debugger, and give each a port for one that is free', async () => {
    const taken = createServer()
    await new Promise<void>(resolve => {
      taken.listen(0, '127.0.0.1', resolve)
    })
    using(() => {
      taken.close()
    })
    const { port } = taken.address() as { port: number }
    const { job: found, text } = await said([`--inspect=127.0.0.1:${port - 1}`, 'main.js'])
    assume(found).deep.equals(job)
    // What the supervisor's own port had become of does not matter here; the next one is taken.
    assume(text).does.not.include(`127.0.0.1:${port} failed`)
    assume(flagsOf(['--inspect-brk=0', '--inspect-wait'], '/')).deep.equals(['--inspect=0', '--inspect'])
  })

  it('have no worker wait for a debugger either when they are in NODE_OPTIONS', async () => {
    // The process of the supervisor would wait, too, if it had been started with this.
    const { job: found } = await said(['-e', `process.env.NODE_OPTIONS = '--no-warnings --inspect-brk=0'; ${MAIN}`])
    assume(found).deep.equals(job)
    const cases: [given: string, wanted: string][] = [
      ['--inspect-brk', '--inspect'],
      ['-r ./a.js --inspect-wait=127.0.0.1:0 --no-warnings', '-r ./a.js --inspect=127.0.0.1:0 --no-warnings'],
      ['"--inspect_brk=0" --inspect_wait', '"--inspect=0" --inspect'],
      ['--title=--inspect-brk --inspect-port=0 --inspect', '--title=--inspect-brk --inspect-port=0 --inspect']
    ]
    for (const [given, wanted] of cases) assume(nodeOptionsOf(given)).equals(wanted)
  })

  it('have relative paths made absolute, and nothing else changed', () => {
    const url = (path: string): string => pathToFileURL(path).href
    const cases: [given: string[], wanted: string[]][] = [
      [
        ['-r', './a.js', '--require=../b.js', '-r', 'tsx', '--require', '@scope/c/d'],
        ['-r', '/srv/web/a.js', '--require=/srv/b.js', '-r', 'tsx', '--require', '@scope/c/d']
      ],
      [
        ['--import', './a b.mjs', '--loader=../b.mjs', '--import=tsx', '--import', 'file:///c.mjs'],
        [
          '--import',
          url('/srv/web/a b.mjs'),
          `--loader=${url('/srv/b.mjs')}`,
          '--import=tsx',
          '--import',
          'file:///c.mjs'
        ]
      ],
      [
        ['--env-file=.env', '--env-file', 'conf/.env', '--env-file-if-exists=/etc/env'],
        ['--env-file=/srv/web/.env', '--env-file', '/srv/web/conf/.env', '--env-file-if-exists=/etc/env']
      ],
      [
        ['--redirect-warnings=./w.log', '--cpu-prof-dir', 'prof', '--report-directory=reports'],
        ['--redirect-warnings=/srv/web/w.log', '--cpu-prof-dir', '/srv/web/prof', '--report-directory=/srv/web/reports']
      ],
      [['--snapshot-blob', 'snap.blob', '--snapshot-blob=snap.blob', '--trace-warnings'], ['--trace-warnings']],
      [
        ['--max-old-space-size=200', '--enable-source-maps', '--conditions', 'dev', '-C', 'dev'],
        ['--max-old-space-size=200', '--enable-source-maps', '--conditions', 'dev', '-C', 'dev']
      ],
      [
        [
          '-i',
          '--interactive',
          '-c',
          '--check',
          '--watch',
          '--watch-path=src',
          '--watch-path',
          'lib',
          '--watch-preserve-output'
        ],
        []
      ],
      [
        [
          '--test',
          '--test-name-pattern',
          'one',
          '--test-reporter=spec',
          '--test-only',
          '--experimental-test-coverage',
          '--no-warnings'
        ],
        ['--no-warnings']
      ],
      [
        ['--input_type=module', '--watch_path', 'src', '--env_file=.env', '--max_old_space_size=200', '--title=a_b'],
        ['--env-file=/srv/web/.env', '--max-old-space-size=200', '--title=a_b']
      ],
      [
        ['-e', 'a = 1', '-p', '-r', './a.js', '--print=1', '-pe', '1'],
        ['-r', '/srv/web/a.js']
      ]
    ]
    for (const [given, wanted] of cases) {
      assume(flagsOf(given, '/srv/web')).deep.equals(wanted)
      assume(flagsOf(wanted, '/elsewhere')).deep.equals(wanted)
    }
  })
})
