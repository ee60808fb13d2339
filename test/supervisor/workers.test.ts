import cluster from 'node:cluster'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { assume } from '../support/assume'
import { using } from '../support/dispose'
import { rejection } from '../support/rejection'
import { eventually } from '../support/wait'
import { longer, playing, Stage, staged } from './stage'

/** The path of a file that is not there yet. */
async function missing(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'metroplex-supervisor-'))
  using(() => rm(directory, { recursive: true, force: true, maxRetries: 3 }))
  return join(directory, 'mended')
}

/** Names without their numbers of process, in their order. */
function names(stage: Stage, type?: string): string[] {
  return stage.supervisor.workers(type).map(({ name }) => name)
}

describe('supervisor: a worker that dies at boot', () => {
  it('is started again after ever longer pauses, and not for ever as fast as it dies', async () => {
    const stage = new Stage(
      { bad: playing('broken', { detail: await missing() }) },
      { backoff: { min: 200 }, flap: { crashes: 3 } }
    )
    await rejection(stage.supervisor.start())
    await eventually(() => stage.told('death').length === 4, { within: 10_000 })
    const [dead, came] = [stage.told('death'), stage.told('online')]
    const pauses = dead.slice(0, -1).map(({ at }, n) => (came[n + 1]?.at ?? NaN) - at)
    // What it takes to start a process comes on top.
    for (const [n, least] of [200, 400, 800].entries()) assume(pauses[n]).is.atleast(least - 5)
    const infos = stage.supervisor.workers()
    const { since = NaN } = infos[0] ?? {}
    assume(infos).deep.equals([{ name: 'bad-1', type: 'bad', state: 'backoff', since, restarts: 3 }])
    assume(Math.abs(Date.now() - since)).is.below(60_000)
  })

  it('is said to flap once, and `start` rejects with EWORKER', async () => {
    const stage = new Stage(
      { bad: playing('broken', { detail: await missing() }) },
      { backoff: { min: 1, max: 1 }, flap: { crashes: 2 } }
    )
    const error = await rejection(stage.supervisor.start())
    assume(error.code).equals('EWORKER')
    assume(error.message).matches(
      /^bad-1 has crashed 2 times within 60000 ms of being ready\. The supervisor keeps restarting it/
    )
    await eventually(() => stage.told('death').length === 5, { within: 10_000 })
    assume(stage.told('flapping').map(({ worker: { name, reason } }) => ({ name, reason }))).deep.equals([
      { name: 'bad-1', reason: error.message }
    ])
  })

  it('leaves all others alone, also those of its type', async () => {
    const stage = await staged(
      { web: playing('good', { count: 2 }), bad: playing('broken', { detail: await missing(), count: 0 }) },
      { backoff: { min: 1, max: 1 }, flap: { crashes: 2 } }
    )
    const before = stage.ready()
    assume((await rejection(stage.supervisor.scale('bad', 1))).code).equals('EWORKER')
    await stage.supervisor.scale('web', 3)
    assume((await stage.seen('flapping')).worker.name).equals('bad-1')
    await eventually(() => stage.told('death').length >= 4)
    assume(stage.ready().slice(0, 2)).deep.equals(before)
    assume(stage.told('death').filter(({ worker }) => worker.type === 'web')).deep.equals([])
  })

  it('comes up by itself when its program has been mended', async () => {
    const mended = await missing()
    const stage = new Stage(
      { bad: playing('broken', { detail: mended }) },
      { backoff: { min: 20, max: 100 }, flap: { crashes: 2 } }
    )
    await rejection(stage.supervisor.start())
    await writeFile(mended, '')
    await stage.seen('ready', 'bad-1')
    await stage.supervisor.start()
    assume(stage.told('flapping').length).equals(1)
    assume(stage.told('death')[0]?.worker.code).equals(3)
  })

  it('is killed when it does not report ready in time, which says why', async () => {
    const stage = new Stage(
      { mute: playing('mute', { boot: 300 }) },
      { flap: { crashes: 1 }, backoff: { min: 30_000 } }
    )
    await rejection(stage.supervisor.start())
    const { worker, at } = await stage.seen('death')
    assume(worker.signal).equals('SIGKILL')
    assume(worker.reason).matches(
      /^mute-1 did not report ready within 300 ms and was killed\. Call `worker\(\)\.ready\(\)`/
    )
    assume(at - (stage.told('online')[0]?.at ?? NaN)).is.below(5000)
  })
})

describe('supervisor: a worker that cannot be started', () => {
  it('has died, in a sentence, and comes up by itself when it can', async () => {
    const { execPath } = process
    using(() => {
      process.execPath = execPath
    })
    process.execPath = join(tmpdir(), 'there', 'is', 'none')
    const stage = new Stage({ web: playing('good') }, { backoff: { min: 20, max: 20 }, flap: { crashes: 2 } })
    assume((await rejection(stage.supervisor.start())).code).equals('EWORKER')
    process.execPath = execPath
    const { worker } = await stage.seen('death')
    assume([worker.name, worker.pid]).deep.equals(['web-1', 0])
    assume(worker.reason).matches(/^web-1 could not be started: spawn .* ENOENT\.$/)
    await stage.seen('ready', 'web-1')
  })
})

describe('supervisor: a worker that dies at work', () => {
  let stage: Stage
  const begin = async (count: number): Promise<void> => {
    stage = await staged({ web: playing('good', { count }) }, { backoff: { min: 20, max: 20 }, flap: { crashes: 2 } })
  }
  const kill = (name: string): void => {
    process.kill(stage.pid(name), 'SIGKILL')
  }

  it('comes back with its name in a new process, and no other worker is affected', async () => {
    await begin(3)
    const [one, two, three] = stage.ready()
    const ids = stage.supervisor.workers().map(({ id }) => id)
    kill('web-2')
    const { worker } = await stage.seen('death')
    assume([worker.name, worker.type, worker.id, worker.code, worker.signal, worker.reason]).deep.equals([
      'web-2',
      'web',
      ids[1],
      null,
      'SIGKILL',
      undefined
    ])
    await stage.seen('ready', 'web-2', { after: 1 })
    assume(names(stage)).deep.equals(['web-1', 'web-2', 'web-3'])
    assume([stage.ready()[0], stage.ready()[2]]).deep.equals([one, three])
    assume(stage.ready()[1] === two).equals(false)
  })

  it('comes back when all are killed at once', async () => {
    await begin(3)
    const before = stage.supervisor.workers().map(({ id }) => id)
    for (const name of names(stage)) kill(name)
    await eventually(() => stage.told('death').length === 3 && stage.ready().length === 3)
    assume(names(stage)).deep.equals(['web-1', 'web-2', 'web-3'])
    assume(stage.supervisor.workers().filter(({ id }) => before.includes(id))).deep.equals([])
    assume(stage.told('flapping')).deep.equals([])
  })

  it('of its own accord with exit code 0 has ended, is replaced, and never flaps', async () => {
    // Sooner after it was ready than the least pause, it would have failed.
    stage = await staged({ web: playing('good') }, { backoff: { min: 1, max: 1 }, flap: { crashes: 2 } })
    for (let n = 1; n <= 3; n++) {
      await stage.supervisor.send('web-1', { exit: 0 })
      await stage.seen('ready', 'web-1', { after: n })
    }
    assume(stage.told('ended').map(({ worker: { code, signal } }) => [code, signal])).deep.equals(
      Array.from({ length: 3 }, () => [0, null])
    )
    assume([...stage.told('death'), ...stage.told('flapping')]).deep.equals([])
  })

  it('again and again flaps, although it had been ready, and its neighbour does not', async () => {
    await begin(2)
    const neighbour = stage.ready()[1]
    for (let n = 1; n <= 3; n++) {
      await stage.supervisor.send('web-1', { exit: 7 })
      await stage.seen('ready', 'web-1', { after: n })
    }
    assume(stage.told('flapping').map(({ worker }) => worker.name)).deep.equals(['web-1'])
    assume(stage.told('death').map(({ worker }) => worker.code)).deep.equals([7, 7, 7])
    assume(stage.ready()[1]).equals(neighbour)
  })

  it('takes no notice of signals that come to whole groups', async () => {
    await begin(1)
    const pid = stage.pid('web-1')
    for (const signal of ['SIGINT', 'SIGHUP', 'SIGUSR2'] as const) process.kill(pid, signal)
    await stage.supervisor.send('web-1', { echo: 'here' })
    await stage.seen('message', 'web-1', {
      filter: ({ rest: [message] }) => (message as { echo?: unknown }).echo === 'here'
    })
    assume(stage.pid('web-1')).equals(pid)
    assume([...stage.told('death'), ...stage.told('drain')]).deep.equals([])
  })

  it('by SIGTERM leaves in good order, and its successor does not wait for that', async () => {
    stage = await staged({ web: playing('patient', { count: 2 }) }, { backoff: { min: 1 } })
    await longer(10)
    const pid = stage.pid('web-1')
    const leaving = Object.values(cluster.workers ?? {}).find(worker => worker?.process.pid === pid)
    process.kill(pid, 'SIGTERM')
    await stage.seen('drain', 'web-1')
    const ready = await stage.seen('ready', 'web-1', { after: 1 })
    // By its name there is its successor now.
    leaving?.send('end')
    const ended = await stage.seen('ended', 'web-1')
    assume(ended.worker.code).equals(0)
    assume(ready.worker.id === ended.worker.id).equals(false)
    assume(stage.told('death')).deep.equals([])
    assume(names(stage)).deep.equals(['web-1', 'web-2'])
  })
})

describe('supervisor: a worker whose end hangs', () => {
  let all: Stage
  let killed: readonly string[]
  let start: number

  before(async () => {
    all = await staged(
      {
        hanging: playing('hanging', { grace: 400 }),
        deaf: playing('deaf', { grace: 500 }),
        paused: playing('good', { grace: 600 }),
        web: playing('good')
      },
      {},
      'suite'
    )
    process.kill(all.pid('paused-1'), 'SIGSTOP')
    start = performance.now()
    killed = (await all.supervisor.stop()).killed
  })

  after(() => all.dispose())

  const kinds = [
    ['hanging', 400, 'its handler never settles'],
    ['deaf', 500, 'it has nothing of ours, and ignores SIGTERM'],
    ['paused', 600, 'it is paused']
  ] as const
  for (const [type, grace, why] of kinds) {
    it(`because ${why} is killed after its grace, and not before`, () => {
      const name = `${type}-1`
      const [end] = all.told('ended', name)
      assume(end?.worker.signal).equals('SIGKILL')
      assume(end?.worker.reason).equals(`${name} did not end within ${grace} ms after it was told to and was killed.`)
      assume((end?.at ?? NaN) - start).is.within(grace - 5, grace + 5000)
    })
  }

  it('is named by `stop`, unlike workers that end in time', () => {
    assume(killed).deep.equals(['hanging-1', 'deaf-1', 'paused-1'])
    assume(all.told('ended', 'web-1').map(({ worker }) => worker.code)).deep.equals([0])
    assume(all.supervisor.workers()).deep.equals([])
  })

  it('has the grace that `stop` is given, rather than its own', async () => {
    const stage = await staged({ bad: playing('hanging', { grace: 60_000 }) })
    const stopped = stage.supervisor.stop({ grace: 2000 })
    assume((await stage.seen('message')).rest).deep.equals([{ grace: 2000 }])
    assume(await stopped).deep.equals({ killed: ['bad-1'] })
    const [drain, end] = [await stage.seen('drain'), await stage.seen('ended')]
    assume(end.at - drain.at).is.within(1995, 30_000)
  })

  it('is told what its grace is', async () => {
    const stage = await staged({ one: playing('hanging', { grace: 12_345 }), other: playing('hanging') })
    const drained = stage.supervisor.drain()
    assume([(await stage.seen('message', 'one-1')).rest, (await stage.seen('message', 'other-1')).rest]).deep.equals([
      [{ grace: 12_345 }],
      [{ grace: 10_000 }]
    ])
    await stage.supervisor.stop({ grace: 1 })
    assume(await drained).deep.equals({ killed: ['one-1', 'other-1'] })
  })

  it('can be told to be quicker, and not to be slower', async () => {
    const stage = await staged({ bad: playing('hanging', { grace: 500 }) })
    const first = stage.supervisor.stop()
    const second = stage.supervisor.stop({ grace: 60_000 })
    assume(await first).deep.equals({ killed: ['bad-1'] })
    assume(await second).deep.equals({ killed: ['bad-1'] })
    const [drain, end] = [await stage.seen('drain'), await stage.seen('ended')]
    assume(end.at - drain.at).is.within(495, 5000)
    assume(stage.told('drain').length).equals(1)
  })

  it('is not kept by a handler that fails, and the others run', async () => {
    const stage = await staged({ bad: playing('failing') }, { output: 'event' })
    assume(await stage.supervisor.stop()).deep.equals({ killed: [] })
    assume(stage.told('message').map(({ rest }) => rest)).deep.equals([['second']])
    await eventually(() =>
      stage
        .told('output')
        .some(({ rest: [, line] }) =>
          String(line).includes('[METROPLEX_DRAIN] Warning: An `onDrain` handler of bad-1 failed: nothing is at hand')
        )
    )
  })
})

describe('supervisor: its workers', () => {
  let stage: Stage

  before(async () => {
    stage = await staged(
      {
        web: playing('good', { count: 2 }),
        mail: playing('open', { detail: 'more', env: { COLOUR: 'red' } }),
        greedy: playing('greedy')
      },
      {},
      'suite'
    )
  })

  after(() => stage.dispose())

  it('have names of their type and the lowest free number', () => {
    assume(names(stage)).deep.equals(['web-1', 'web-2', 'mail-1', 'greedy-1'])
    assume(names(stage, 'web')).deep.equals(['web-1', 'web-2'])
  })

  it('have the name, the environment and the arguments that they were given', async () => {
    assume((await stage.seen('message', 'mail-1')).rest).deep.equals([
      { name: 'mail-1', colour: 'red', args: ['open', 'more'] }
    ])
  })

  it('can have no workers of their own', async () => {
    assume((await stage.seen('message', 'greedy-1')).rest).deep.equals([
      'metroplex: a worker can have no workers of its own: make the Supervisor in the primary process of node:cluster.'
    ])
  })

  it('have unique ids and processes, as have their successors', async () => {
    await stage.supervisor.recycle('mail')
    const seen = stage.told('online').map(({ worker }) => worker)
    assume(new Set(seen.map(({ id }) => id)).size).equals(5)
    assume(new Set(seen.map(({ pid }) => pid)).size).equals(5)
  })

  it('are sent messages, and send some', async () => {
    await stage.supervisor.send('web-2', { echo: ['ä', 1, null] })
    const { worker, rest } = await stage.seen('message', 'web-2')
    assume([worker.pid, rest]).deep.equals([stage.pid('web-2'), [{ echo: ['ä', 1, null] }]])
    assume(stage.told('message', 'web-1')).deep.equals([])
  })

  it('report operational data separately', async () => {
    await stage.supervisor.send('web-1', { ops: { lag: 4 } })
    assume((await stage.seen('ops', 'web-1')).rest).deep.equals([{ lag: 4 }])
    assume(stage.told('message', 'web-1')).deep.equals([])
  })

  it('that are not there cannot be sent messages', async () => {
    const error = await rejection(stage.supervisor.send('web-3', 1))
    assume([error.code, error.message]).deep.equals([
      'EWORKER',
      "There is no worker 'web-3' now. There are: web-1, web-2, mail-1, greedy-1."
    ])
  })

  it('have each line reported on request', async () => {
    const stage = await staged({ web: playing('talking') }, { output: 'event' })
    await eventually(() => stage.told('output').length === 2)
    assume(
      stage
        .told('output')
        .map(({ worker, rest }) => [worker.name, ...rest])
        .sort()
    ).deep.equals([
      ['web-1', 'stderr', 'two'],
      ['web-1', 'stdout', 'one']
    ])
  })

  it('are reported with their name, type, id and process', async () => {
    const stage = await staged({ web: playing('good') })
    await stage.supervisor.stop()
    assume(stage.log.map(({ event }) => event)).deep.equals(['online', 'ready', 'drain', 'ended'])
    const [{ worker: first } = { worker: undefined }] = stage.log
    for (const {
      worker: { name, type, id, pid }
    } of stage.log)
      assume({ name, type, id, pid }).deep.equals(first)
    assume(stage.told('ended')[0]?.worker).deep.equals({ ...first, code: 0, signal: null })
  })

  it('of an unknown type are a mistake of the caller', async () => {
    const stage = new Stage({ web: playing('good'), mail: playing('good') })
    const { supervisor } = stage
    const sentence = "metroplex: there are no workers of the type 'wbe'; there are: web, mail."
    assume(() => supervisor.workers('wbe')).throws(sentence)
    for (const call of [supervisor.recycle('wbe'), supervisor.drain('wbe')])
      assume((await rejection(call)).message).equals(sentence)
  })

  it('have one supervisor that obeys the signals of the process: another would end it before its workers', async () => {
    const [one, other] = [
      new Stage({ web: playing('good', { count: 0 }) }, { signals: true }),
      new Stage({ web: playing('good', { count: 0 }) }, { signals: true })
    ]
    await one.supervisor.start()
    assume((await rejection(other.supervisor.start())).message).includes('give that one all types of workers')
    await one.supervisor.stop()
    await other.supervisor.start()
  })

  it('do not exist before `start`', async () => {
    const stage = new Stage({ web: playing('good') })
    for (const call of [stage.supervisor.resume(), stage.supervisor.scale('web', 2)])
      assume((await rejection(call)).code).equals('ECLOSED')
    assume((await rejection(stage.supervisor.recycle())).code).equals('ECLOSED')
    assume(stage.log).deep.equals([])
  })
})
