import { fork, type ChildProcess } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { SupervisorOptions, WorkerEvent, WorkerInfo, WorkerType } from '../../lib/supervisor'
import { assume } from '../support/assume'
import { using } from '../support/dispose'
import { alive, killAtExit } from '../support/orphans'
import { deadline, eventually, once } from '../support/wait'
import { longer, playing, program, staged } from './stage'

interface Told {
  readonly event: string
  readonly worker: WorkerEvent
}

/** A primary process. */
class Primary {
  readonly log: Told[] = []
  readonly child: ChildProcess
  readonly exit: Promise<{ code: number | null; signal: NodeJS.Signals | null }>

  constructor(types: Record<string, WorkerType>, options: SupervisorOptions = {}) {
    this.child = fork(program('primary'), [JSON.stringify({ types, options })], {
      detached: true,
      stdio: ['ignore', 'ignore', 'ignore', 'ipc']
    })
    killAtExit(this.child)
    this.child.on('message', message => {
      this.log.push(message as Told)
    })
    this.exit = new Promise(resolve => {
      this.child.once('exit', (code, signal) => {
        resolve({ code, signal })
      })
    })
    using(async () => {
      this.child.kill('SIGKILL')
      await this.exit
      // This test leaves nothing behind, also when it fails.
      for (const pid of this.workers) if (alive(pid)) process.kill(pid, 'SIGKILL')
    })
  }

  /** The processes of all workers that it has ever had. */
  get workers(): number[] {
    return this.told('online').map(({ pid }) => pid)
  }

  told(event: string): WorkerEvent[] {
    return this.log.filter(told => told.event === event).map(({ worker }) => worker)
  }

  async seen(event: string, count = 1): Promise<void> {
    await eventually(() => this.told(event).length >= count, { what: `the event '${event}' of the primary` })
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal)
  }

  /** Resolves with its exit code, or the signal that ended it, when it and all of its workers have gone. */
  async gone(): Promise<number | string | null> {
    const { code, signal } = await deadline(this.exit, 10_000, 'the end of the primary')
    await eventually(() => !this.workers.some(alive), { what: 'the end of its workers' })
    return code ?? signal
  }
}

/** One whose workers are ready. */
async function primary(types: Record<string, WorkerType>, options?: SupervisorOptions): Promise<Primary> {
  const started = new Primary(types, options)
  await started.seen('started')
  return started
}

/** A directory for those who leave something behind. */
async function place(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'metroplex-supervisor-'))
  using(() => rm(directory, { recursive: true, force: true, maxRetries: 3 }))
  return directory
}

describe('supervisor: signals of the primary', () => {
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    it(`${signal} ends all workers in good order, and then itself with exit code 0`, async () => {
      const directory = await place()
      const one = await primary({ web: playing('witness', { detail: directory, count: 2 }) })
      one.signal(signal)
      assume(await one.gone()).equals(0)
      assume(readdirSync(directory).sort()).deep.equals(['web-1', 'web-2'])
      assume(one.told('ended').map(({ code }) => code)).deep.equals([0, 0])
    })
  }

  it("the message 'shutdown' of PM2 ends all workers in good order, and then itself with exit code 0", async () => {
    const directory = await place()
    const one = await primary({ web: playing('witness', { detail: directory, count: 2 }) })
    one.child.send('another message')
    one.child.send('shutdown')
    assume(await one.gone()).equals(0)
    assume(readdirSync(directory).sort()).deep.equals(['web-1', 'web-2'])
  })

  it('end it with exit code 1 when a worker had to be killed', async () => {
    const one = await primary({ web: playing('good'), bad: playing('hanging', { grace: 200 }) })
    one.signal('SIGTERM')
    assume(await one.gone()).equals(1)
    const ends = one.told('ended').map(({ name, code, signal }) => [name, code, signal])
    assume(ends.sort()).deep.equals([
      ['bad-1', null, 'SIGKILL'],
      ['web-1', 0, null]
    ])
  })

  it('mean the same when they come twice', async () => {
    const one = await primary({ web: playing('slow', { detail: '300' }) })
    one.signal('SIGINT')
    await one.seen('drain')
    one.signal('SIGINT')
    one.signal('SIGTERM')
    assume(await one.gone()).equals(0)
    assume(one.told('ended').map(({ code }) => code)).deep.equals([0])
  })

  it('mean the same when they come to all of its processes, as SIGINT does from a terminal', async () => {
    const one = await primary({ web: playing('slow', { detail: '100', count: 2 }) })
    process.kill(-(one.child.pid ?? NaN), 'SIGINT')
    assume(await one.gone()).equals(0)
    assume(one.told('ended').map(({ code }) => code)).deep.equals([0, 0])
    assume(one.told('online').length).equals(2)
  })

  it('mean the same when they come to all of its processes, as SIGTERM does from systemd', async () => {
    const directory = await place()
    const one = await primary({ web: playing('witness', { detail: directory, count: 2 }) })
    process.kill(-(one.child.pid ?? NaN), 'SIGTERM')
    assume(await one.gone()).equals(0)
    assume(readdirSync(directory).sort()).deep.equals(['web-1', 'web-2'])
    assume(one.told('death')).deep.equals([])
  })

  it('end it while its workers boot', async () => {
    const one = new Primary({ web: playing('loading') })
    await one.seen('message')
    one.signal('SIGTERM')
    assume(await one.gone()).equals(0)
    assume([one.told('ended').length, one.told('death').length, one.told('failed').length]).deep.equals([1, 0, 0])
  })

  it('SIGUSR2 replaces all workers', async () => {
    const one = await primary({ web: playing('good', { count: 2 }) })
    one.signal('SIGUSR2')
    await one.seen('ended', 2)
    assume(one.told('recycle').map(({ name }) => name)).deep.equals(['web-1', 'web-2'])
    assume(new Set(one.workers).size).equals(4)
    one.signal('SIGTERM')
    assume(await one.gone()).equals(0)
  })
})

describe('supervisor: the end of the primary', () => {
  it('comes by itself after `stop`, which leaves nothing behind', async () => {
    const one = await primary({ web: playing('good') })
    one.child.send('stop')
    assume(await one.gone()).equals(0)
  })

  it('by SIGKILL takes its workers with it, which do first what is to be done', async () => {
    const directory = await place()
    const one = await primary({ web: playing('witness', { detail: directory, count: 2 }) })
    one.signal('SIGKILL')
    assume(await one.gone()).equals('SIGKILL')
    assume(readdirSync(directory).sort()).deep.equals(['web-1', 'web-2'])
  })

  it('by SIGKILL takes a worker with it whose end hangs, after its grace, and not before', async () => {
    const one = await primary({ bad: playing('hanging', { grace: 400 }) })
    const from = performance.now()
    one.signal('SIGKILL')
    await one.gone()
    assume(performance.now() - from).is.within(380, 5000)
  })

  it('by SIGKILL takes those with it that have nothing of ours, or are about to boot', async () => {
    const one = new Primary({ deaf: playing('deaf'), late: playing('loading') })
    await one.seen('ready')
    await one.seen('message')
    assume(one.workers.map(alive)).deep.equals([true, true])
    one.signal('SIGKILL')
    await one.gone()
  })

  it('by an exception leaves no orphans', async () => {
    const directory = await place()
    const one = await primary({ web: playing('witness', { detail: directory, count: 2 }) })
    one.child.send('throw')
    assume(await one.gone()).equals(1)
    assume(readdirSync(directory).sort()).deep.equals(['web-1', 'web-2'])
  })
})

describe('supervisor: a process takes itself for a worker', () => {
  /** What a process of that kind says of itself. */
  async function who(how: string): Promise<unknown> {
    const child = fork(program('who'), [how])
    killAtExit(child)
    const [[answer]] = await Promise.all([once(child, 'message'), once(child, 'exit')])
    return answer
  }

  it('not when it is any process', async () => {
    assume(await who('alone')).deep.equals({ inherited: false, inCluster: false, name: null })
  })

  it('not when it is a worker of node:cluster alone', async () => {
    assume(await who('cluster')).deep.equals({ inherited: false, inCluster: true, name: null })
  })

  it('not when a worker started it, whose environment it has', async () => {
    const stage = await staged({ web: playing('parent') })
    await eventually(() => stage.told('message').length === 2)
    const answers = Object.fromEntries(
      stage
        .told('message')
        .map(({ rest: [message] }) => message as { how: string; answer: unknown })
        .map(({ how, answer }) => [how, answer])
    )
    assume(answers).deep.equals({
      alone: { inherited: true, inCluster: false, name: null },
      cluster: { inherited: true, inCluster: true, name: null }
    })
  })
})

describe('supervisor: a pause of its process, longer than `stall`', () => {
  for (const [what, all] of [
    ['alone', false],
    ['together with its workers', true]
  ] as const) {
    it(`${what}, ends no worker, and a stalled worker is still killed afterwards`, async () => {
      const some = await primary({ web: playing('good', { count: 3, stall: 3000 }) }, { backoff: { min: 60_000 } })
      const vitals = async (): Promise<boolean> => {
        some.child.send('workers')
        const [answer] = await once(some.child, 'message', { filter: told => (told as Told).event === 'workers' })
        const workers = (answer as { worker: WorkerInfo[] }).worker
        return workers.every(({ heard }) => heard !== undefined)
      }
      await eventually(vitals, { what: 'the vitals of all workers', within: 10_000 })
      const paused = [some.child.pid ?? 0, ...(all ? some.workers : [])]
      for (const pid of paused) process.kill(pid, 'SIGSTOP')
      await longer(6000)
      for (const pid of paused) process.kill(pid, 'SIGCONT')
      some.child.send({ to: 'web-2', send: { spin: 0 } })
      await eventually(() => some.told('death').length > 0, { what: 'a death', within: 15_000 })
      assume(some.told('death').map(({ name }) => name)).deep.equals(['web-2'])
    })
  }
})
