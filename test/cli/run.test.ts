import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { duration } from '../../lib/cli/output/duration-argument'
import { run, type Run } from '../examples/run'
import { assume } from '../support/assume'
import { using } from '../support/dispose'
import { killAtExit } from '../support/orphans'
import { eventually, once } from '../support/wait'

const COMMAND = join(__dirname, '..', '..', 'lib', 'cli', 'metroplex.js')
const PROGRAM = join(__dirname, 'program.js')

/** Call the command, as a shell would. */
function metroplex(...args: string[]): Promise<Run> {
  return run('../lib/cli/metroplex.js', ...args)
}

/** The process that has a name now. */
async function pidOf(name: string, command: Run, after = 0): Promise<number> {
  return eventually(
    () =>
      [...command.text().matchAll(/(\S+), pid (\d+), is ready/g)]
        .filter(([, who]) => who === name)
        .map(([, , pid]) => Number(pid))[after],
    { within: 20_000, what: `${name}, ready` }
  )
}

describe('the command metroplex run', function () {
  this.timeout(120_000)

  it('runs a program as many workers, prefixes each line with its worker, and exits with 0 on SIGTERM', async () => {
    const command = await metroplex('run', PROGRAM, '--workers', '3', '--type', 'chat', '--', 'an', '--argument')
    for (const name of ['chat-1', 'chat-2', 'chat-3']) await pidOf(name, command)
    for (const name of ['chat-1', 'chat-2', 'chat-3']) {
      await command.said(new RegExp(`^${name} +\\| listening as chat, with an --argument$`, 'm'))
      await command.said(new RegExp(`^${name} +\\| and on the other stream$`, 'm'))
    }
    command.signal('SIGTERM')
    assume(await command.ended).equals(0)
    assume(command.text().match(/has ended, with code 0/g)?.length).equals(3)
  })

  it('restarts a killed worker under its name, and reports how it died', async () => {
    const command = await metroplex('run', PROGRAM, '--workers', '2')
    const [first, other] = [await pidOf('web-1', command), await pidOf('web-2', command)]
    process.kill(first, 'SIGKILL')
    await command.said(new RegExp(`web-1, pid ${first}, has died, by SIGKILL`))
    assume(await pidOf('web-1', command, 1)).is.not.equal(first)
    assume(process.kill(other, 0)).true()
    command.signal('SIGINT')
    assume(await command.ended).equals(0)
  })

  it('replaces all workers after each --recycle, and on SIGUSR2', async () => {
    const command = await metroplex('run', PROGRAM, '--workers', '1', '--recycle', '1s')
    await pidOf('web-1', command, 1)
    const other = await metroplex('run', PROGRAM, '--workers', '1')
    await pidOf('web-1', other)
    other.signal('SIGUSR2')
    await pidOf('web-1', other, 1)
    await other.said(/has ended, with code 0/)
  })

  it('serves the metrics of all workers on --metrics-port, and says where', async () => {
    const command = await metroplex(
      'run',
      PROGRAM,
      '--workers',
      '2',
      '--metrics-port',
      '0',
      '--metrics-host',
      '127.0.0.1'
    )
    const [, url = ''] = await command.said(/The metrics of all workers are at (http:\S+)\.$/m)
    const answer = await fetch(url, { headers: { connection: 'close' } })
    assume(await answer.text()).includes('metroplex_worker_up{worker="web-2",type="web"} 1\n')
    command.signal('SIGTERM')
    assume(await command.ended).equals(0)
  })

  it('refuses a wrong port, and a host without a port', async () => {
    for (const wrong of [
      ['--metrics-port', '70000'],
      ['--metrics-host', '0.0.0.0']
    ]) {
      const command = await metroplex('run', PROGRAM, ...wrong)
      assume(await command.ended).equals(2)
      assume(command.text()).matches(/port/)
    }
  })

  it('kills a worker that has not ended after --grace, says so, and ends with 1', async () => {
    const command = await metroplex('run', PROGRAM, '--workers', '1', '--grace', '200ms', '--', 'hang')
    await pidOf('web-1', command)
    command.signal('SIGTERM')
    assume(await command.ended).equals(1)
    assume(command.text()).includes('web-1 did not end within 200 ms after it was told to and was killed')
  })

  for (const signal of ['SIGTERM', 'SIGHUP'] as const) {
    it(`writes all last output of its workers, also for a late reader, before it exits on ${signal}`, async () => {
      const child = spawn(process.execPath, [COMMAND, 'run', PROGRAM, '--workers', '2', '--', 'last=20000'], {
        stdio: ['ignore', 'pipe', 'pipe']
      })
      killAtExit(child)
      let told = ''
      child.stderr.on('data', (chunk: Buffer) => {
        told += chunk.toString()
      })
      const exit = once(child, 'exit', { within: 60_000 })
      await eventually(() => told.match(/ is ready/g)?.length === 2, { within: 30_000, what: 'two workers' })
      child.kill(signal)
      await eventually(() => told.match(/ has ended, with code 0/g)?.length === 2, {
        within: 30_000,
        what: 'the end of two workers'
      })
      // The reader begins now.
      let read = ''
      for await (const chunk of child.stdout) read += String(chunk)
      for (const name of ['web-1', 'web-2']) {
        const last = [...read.matchAll(new RegExp(`^${name} +\\| last (\\d+) x{80}$`, 'gm'))].map(([, at]) =>
          Number(at)
        )
        assume(last).deep.equals(Array.from({ length: 20_000 }, (_, at) => at))
      }
      assume((await exit)[0]).equals(0)
    })
  }

  it('ends all workers in good order, and then itself with 1, when the reader of its output has gone', async () => {
    const call = [process.execPath, COMMAND, 'run', PROGRAM, '--workers', '2', '--', 'tick']
      .map(part => `'${part}'`)
      .join(' ')
    const shell = spawn('sh', ['-c', `(${call}; echo "code $?" >&2) | head -n 3`], {
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true
    })
    killAtExit(shell)
    using(() => {
      if (shell.exitCode === null) process.kill(-(shell.pid ?? NaN), 'SIGKILL')
    })
    let [out, told] = ['', '']
    shell.stdout.on('data', (chunk: Buffer) => {
      out += chunk.toString()
    })
    shell.stderr.on('data', (chunk: Buffer) => {
      told += chunk.toString()
    })
    await once(shell, 'close', { within: 30_000 })
    assume(out.trim().split('\n').length).equals(3)
    assume(told).includes('The reader of standard output has gone (write EPIPE): all workers are told to end.')
    // One that is still booting is told by a signal.
    assume(told.match(/ has ended, (?:with code 0|by SIGTERM)/g)?.length).equals(2)
    assume(told).matches(/code 1\n$/)
  })

  it('explains a wrong command line, starts nothing, and exits with 2', async () => {
    const wrong: [args: string[], sentence: RegExp][] = [
      [[], /Usage: metroplex/],
      [['walk'], /unknown command 'walk'/],
      [['run'], /missing required argument 'file'/],
      [['run', 'missing.js'], /`FILE` must be the path of a program for Node.js; there is none at .*missing\.js/],
      [['run', PROGRAM, '--workers', '0'], /argument '0' is invalid\. It must be a whole number, 1 or more/],
      [['run', PROGRAM, '--recycle', '6'], /argument '6' is invalid\. It must be a number and a unit/],
      [['run', PROGRAM, '--recycle', '1ms'], /`web\.recycle` must be a whole number of milliseconds, from 1000/],
      [['run', PROGRAM, '--type', '-'], /type of a worker must begin with a letter/],
      [['run', PROGRAM, '--worker', '2'], /Did you mean --workers\?[^]*Arguments of the program follow after --/]
    ]
    await Promise.all(
      wrong.map(async ([args, sentence]) => {
        const command = await metroplex(...args)
        assume(await command.ended).equals(2)
        assume(command.text()).matches(sentence)
      })
    )
  })

  it('tells its options and its version, and ends with 0', async () => {
    const [help, version] = [await metroplex('run', '--help'), await metroplex('--version')]
    assume([await help.ended, await version.ended]).eql([0, 0])
    for (const option of ['--workers', '--type', '--recycle', '--grace', '--boot']) assume(help.text()).includes(option)
    assume(version.text().trim()).matches(/^\d+\.\d+\.\d+/)
  })

  it('reads a time as people write it', () => {
    assume(['500ms', '90s', '1.5m', '6h', '2d'].map(duration)).eql([500, 90_000, 90_000, 21_600_000, 172_800_000])
    for (const wrong of ['', '6', 'h', '-1s', '1 h', '25d', '1y', 'constructor'])
      assume(() => duration(wrong)).throws(/must be a number and a unit/)
  })
})
