import { join } from 'node:path'
import { duration } from '../../lib/cli/duration'
import { run, type Run } from '../examples/run'
import { assume } from '../support/assume'
import { eventually } from '../support/wait'

const PROGRAM = join(__dirname, 'program.js')

/** Call the command, as a shell would. */
function metroplex(...args: string[]): Promise<Run> {
  return run('../lib/cli/metroplex.js', ...args)
}

/** The process that has a name now. */
async function pidOf(name: string, command: Run, after = 0): Promise<number> {
  return eventually(() => [...command.text().matchAll(/(\S+), pid (\d+), is ready/g)].filter(([, who]) => who === name).map(([, , pid]) => Number(pid))[after], { within: 20_000, what: `${name}, ready` })
}

describe('the command metroplex run', function () {
  this.timeout(60_000)

  it('runs a program as many workers, names whoever writes a line, and ends with 0 on SIGTERM', async () => {
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

  it('starts a worker again that was killed, under its name, and tells how it died', async () => {
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

  it('kills a worker that has not ended after --grace, says so, and ends with 1', async () => {
    const command = await metroplex('run', PROGRAM, '--workers', '1', '--grace', '200ms', '--', 'hang')
    await pidOf('web-1', command)
    command.signal('SIGTERM')
    assume(await command.ended).equals(1)
    assume(command.text()).includes('web-1 had not ended 200 ms after it was told to, so that it was killed')
  })

  it('says what is wrong with how it was called, starts nothing, and ends with 2', async () => {
    const wrong: [args: string[], sentence: RegExp][] = [
      [[], /Usage: metroplex/],
      [['walk'], /unknown command 'walk'/],
      [['run'], /missing required argument 'file'/],
      [['run', 'missing.js'], /`FILE` must be the path of a program for Node.js; there is none at .*missing\.js/],
      [['run', PROGRAM, '--workers', '0'], /argument '0' is invalid\. It must be a whole number, 1 or more/],
      [['run', PROGRAM, '--recycle', '6'], /argument '6' is invalid\. It must be a number and a unit/],
      [['run', PROGRAM, '--recycle', '1ms'], /`web\.recycle` must be a whole number of milliseconds, from 1000/],
      [['run', PROGRAM, '--type', '-'], /type of a worker must begin with a letter/],
      [['run', PROGRAM, '--worker', '2'], /Did you mean --workers\?[^]*What is for the program stands behind --/]
    ]
    await Promise.all(wrong.map(async ([args, sentence]) => {
      const command = await metroplex(...args)
      assume(await command.ended).equals(2)
      assume(command.text()).matches(sentence)
    }))
  })

  it('tells its options and its version, and ends with 0', async () => {
    const [help, version] = [await metroplex('run', '--help'), await metroplex('--version')]
    assume([await help.ended, await version.ended]).eql([0, 0])
    for (const option of ['--workers', '--type', '--recycle', '--grace', '--boot']) assume(help.text()).includes(option)
    assume(version.text().trim()).matches(/^\d+\.\d+\.\d+/)
  })

  it('reads a time as people write it', () => {
    assume(['500ms', '90s', '1.5m', '6h', '2d'].map(duration)).eql([500, 90_000, 90_000, 21_600_000, 172_800_000])
    for (const wrong of ['', '6', 'h', '-1s', '1 h', '25d', '1y', 'constructor']) assume(() => duration(wrong)).throws(/must be a number and a unit/)
  })
})
