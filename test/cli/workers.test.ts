import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { assume } from '../support/assume'
import { using } from '../support/dispose'
import { eventually } from '../support/wait'
import { metroplex, startCommand, type Answer, type Running } from './asked'

const PROGRAM = join(__dirname, 'program.js')

/** A user of its own: its supervisors are found by no other test. */
class User {
  readonly home = mkdtempSync(join(tmpdir(), 'metroplex-user-'))
  readonly #env = { XDG_RUNTIME_DIR: this.home, TMPDIR: this.home }

  constructor() {
    using(() => {
      rmSync(this.home, { recursive: true, force: true })
    })
  }

  /** Runs workers until the test ends. */
  runs(...args: string[]): Running {
    const running = startCommand(['run', PROGRAM, ...args], this.#env)
    using(async () => {
      running.signal('SIGTERM')
      await running.ended
    })
    return running
  }

  asks(...args: string[]): Promise<Answer> {
    return metroplex(args, this.#env)
  }

  /** What `metroplex ps` says of the workers, as soon as so many are ready. */
  async ready(count: number): Promise<{ name: string; pid: number; restarts: number }[]> {
    return eventually(
      async () => {
        const answer = await this.asks('ps', '--json')
        if (answer.code !== 0) throw new Error(answer.stderr)
        const { supervisors } = answer.json() as { supervisors: { workers: Seen[] }[] }
        const workers = supervisors.flatMap(one => one.workers)
        return workers.length === count && workers.every(({ state, rss }) => state === 'ready' && rss > 0) && workers
      },
      { within: 30_000, every: 200, what: `${count} ready workers in metroplex ps` }
    )
  }
}

interface Seen {
  readonly name: string
  readonly pid: number
  readonly state: string
  readonly rss: number
  readonly restarts: number
}

describe('the commands for workers', function () {
  this.timeout(180_000)

  it('ps lists the workers of a supervisor, in a table and in JSON', async () => {
    const user = new User()
    user.runs('--workers', '2', '--type', 'chat')
    const workers = await user.ready(2)
    assume(workers.map(({ name, restarts }) => [name, restarts])).deep.equals([
      ['chat-1', 0],
      ['chat-2', 0]
    ])
    const { stdout, code } = await user.asks('ps')
    assume(code).equals(0)
    const [head = '', columns, first = ''] = stdout.split('\n')
    assume(head).matches(/^\S+\/metroplex\/chat\.sock {2}pid \d+, 2 of 2 workers ready$/)
    assume(columns).matches(/^NAME +TYPE +PID +STATE +SINCE +RSS +LOOP +RESTARTS$/)
    assume(first).matches(/^chat-1 +chat +\d+ +ready +[\d.]+ (?:ms|s) +\d+ MB +\d+ % +0$/)
  })

  it('ps repeats its answer with --watch, until it is ended', async () => {
    const user = new User()
    user.runs('--workers', '1')
    await user.ready(1)
    const watching = startCommand(['ps', '--watch', '0.2', '--control', join(user.home, 'metroplex', 'web.sock')])
    await watching.said(/ready[^]*ready[^]*ready/)
    watching.signal('SIGINT')
    assume((await watching.ended).code).equals(0)
  })

  it('scale changes the number of workers, recycle replaces them, and drain --worker one', async () => {
    const user = new User()
    user.runs('--workers', '1')
    const [first] = await user.ready(1)
    const scaled = await user.asks('scale', 'web', '3')
    assume([scaled.code, scaled.stdout, scaled.stderr]).deep.equals([0, 'There are 3 workers of the type web.\n', ''])
    const three = await user.ready(3)
    assume(three[0]?.pid).equals(first?.pid)
    const drained = await user.asks('drain', '--worker', 'web-2')
    assume([drained.code, drained.stdout]).deep.equals([0, 'web-2 has ended, and its successor is ready.\n'])
    const after = await user.ready(3)
    assume(after.map(({ pid }, at) => pid === three[at]?.pid)).deep.equals([true, false, true])
    const recycled = await user.asks('recycle', 'web', '--json')
    assume(recycled.code).equals(0)
    const last = await user.ready(3)
    assume(last.map(({ pid }, at) => pid === after[at]?.pid)).deep.equals([false, false, false])
    assume(last.map(({ restarts }) => restarts)).deep.equals([0, 0, 0])
    assume((await user.asks('scale', 'web', '1', '--no-wait')).stdout).equals('web is scaled to 1 worker.\n')
    await user.ready(1)
  })

  it('tell two supervisors apart, and ask for --control where both are meant', async () => {
    const user = new User()
    user.runs('--workers', '1', '--type', 'web')
    user.runs('--workers', '1', '--type', 'jobs')
    await user.ready(2)
    assume((await user.asks('recycle', '--worker', 'jobs-1')).code).equals(0)
    assume((await user.asks('scale', 'jobs', '2')).code).equals(0)
    const both = await user.asks('recycle')
    assume([both.code, both.stdout]).deep.equals([2, ''])
    assume(both.stderr).matches(/^2 supervisors run: say which by --control \S+\/jobs\.sock, or \S+\/web\.sock\.\n$/)
    const one = await user.asks('recycle', '--control', join(user.home, 'metroplex', 'web.sock'))
    assume([one.code, one.stdout]).deep.equals([0, 'All workers have been replaced.\n'])
  })

  it('say what is wrong, and end with 2 for the command line and 3 where no supervisor answers', async () => {
    const user = new User()
    const none = await user.asks('ps')
    assume([none.code, none.stdout]).deep.equals([3, ''])
    assume(none.stderr).includes('start one with `metroplex run` or the option `control`')
    const away = await user.asks('ps', '--control', join(user.home, 'away.sock'))
    assume(away.code).equals(3)
    assume(away.stderr).matches(/^No supervisor listens at \S+\/away\.sock: give the path/)
    user.runs('--workers', '1')
    await user.ready(1)
    const wrong: [args: string[], code: number, sentence: RegExp][] = [
      [['scale', 'wob', '2'], 2, /^No supervisor has workers of the type wob: metroplex ps lists.* Did you mean web\?/],
      [['scale', 'web', '1025'], 2, /must be a whole number of workers, from 0 to 1024/],
      [['scale', 'web'], 2, /missing required argument 'count'/],
      [['recycle', '--worker', 'web-9'], 2, /^No supervisor has a worker web-9: .* Did you mean web-1\?/],
      [['recycle', 'web', '--worker', 'web-1'], 2, /^Give either a type or --worker, not both\.$/m],
      [['drain', 'web-1', '--worker', 'web-1'], 2, /^Give either a server or --worker, not both\.$/m],
      [['drain'], 2, /^Say what to drain: /],
      [['ps', '--timeout', '5'], 2, /must be a number and a unit/]
    ]
    await Promise.all(
      wrong.map(async ([args, code, sentence]) => {
        const answer = await user.asks(...args)
        assume(answer.stderr).matches(sentence)
        assume([answer.code, answer.stdout]).deep.equals([code, ''])
      })
    )
  })

  it('name a supervisor that does not answer, and end with 3', async () => {
    const user = new User()
    const running = user.runs('--workers', '1')
    await user.ready(1)
    running.signal('SIGSTOP')
    const answer = await user.asks('ps', '--timeout', '200ms')
    running.signal('SIGCONT')
    assume(answer.code).equals(3)
    assume(answer.stdout).matches(/^The supervisor at \S+\/web\.sock did not answer within 200 ms\.\n$/)
  })

  it('report a successor that does not become ready, and end with 1', async () => {
    const user = new User()
    user.runs('--workers', '1', '--boot', '10s', '--', `once=${join(user.home, 'once')}`)
    await user.ready(1)
    const answer = await user.asks('recycle')
    assume([answer.code, answer.stdout]).deep.equals([1, ''])
    assume(answer.stderr).matches(/^web-1 ended with code 3\. It was never ready\. The workers that .* stay\.\n$/)
    await user.ready(1)
  })

  it('run passes on --memory and --stall, and refuses what they are not', async () => {
    const user = new User()
    const running = user.runs('--workers', '1', '--memory', '32mb', '--stall', '10s', '--no-control')
    await eventually(() => running.errors().includes('web-1, pid'), { within: 20_000, what: 'a worker' })
    await eventually(() => running.errors().includes('is above its limit of memory. web-1 uses'), {
      within: 30_000,
      what: 'a report of its memory'
    })
    assume((await user.asks('ps')).code).equals(3)
    const wrong: [args: string[], sentence: RegExp][] = [
      [['--memory', '1'], /argument '1' is invalid\. It must be a size from 32mb to 64tb, such as '512mb'/],
      [['--stall', '1ms'], /`web\.stall` must be a whole number of milliseconds, from 1000/],
      [['--control', `/${'x'.repeat(200)}`], /may have at most 10[37] bytes/]
    ]
    for (const [args, sentence] of wrong) {
      const answer = await user.asks('run', PROGRAM, ...args)
      assume(answer.stderr).matches(sentence)
      assume(answer.code).equals(2)
    }
  })
})
