import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { assume } from '../support/assume'
import { using } from '../support/dispose'
import { rejection } from '../support/rejection'
import { playing, Stage, staged, type Told } from './stage'

/** The name and the state of each worker. */
function standing(stage: Stage): string[] {
  return stage.supervisor.workers().map(({ name, state }) => `${name} ${state}`)
}

/** When something was told, from event to event, in ms. */
function gaps(told: readonly Told[]): number[] {
  return told.slice(1).map(({ at }, n) => at - (told[n]?.at ?? NaN))
}

/** Have the worker that has the place be ready. */
function letGo(stage: Stage, name: string): Promise<void> {
  return stage.supervisor.send(name, 'go')
}

/** Workers that are ready when they are told to be, and have been. */
async function waiting(count = 1): Promise<Stage> {
  const stage = new Stage({ web: playing('waiting', { count }) })
  const started = stage.supervisor.start()
  for (const { name } of stage.supervisor.workers()) await letGo(stage, name)
  await started
  return stage
}

/** Have a worker drained while it boots, which comes to an end in time. */
async function drainedAtBoot(part: string): Promise<Stage> {
  const stage = new Stage({ web: playing(part) })
  const started = rejection(stage.supervisor.start())
  await stage.seen('message')
  assume(await stage.supervisor.drain()).deep.equals({ killed: [] })
  assume((await started).code).equals('ECLOSED')
  return stage
}

describe('supervisor: recycling', () => {
  it('is rolling: each worker is told to end when its successor is ready, and none is missing', async () => {
    const stage = await staged({ web: playing('good', { count: 3 }) })
    const before = stage.supervisor.workers()
    const most: number[] = []
    stage.supervisor.on('ready', () => {
      most.push(stage.supervisor.workers().length)
    })
    const from = stage.log.length
    await stage.supervisor.recycle()
    const log = stage.log.slice(from)
    assume(Math.min(...log.map(({ ready }) => ready))).equals(3)
    assume(most).deep.equals([4, 4, 4])
    const order = before.flatMap(({ name, id }) => [
      ['recycle', name, id],
      ['online', name],
      ['ready', name],
      ['drain', name, id],
      ['ended', name, id]
    ])
    const old = (id: number): number[] => (before.some(one => one.id === id) ? [id] : [])
    assume(log.map(({ event, worker: { name, id } }) => [event, name, ...old(id)])).deep.equals(order)
    assume(standing(stage)).deep.equals(['web-1 ready', 'web-2 ready', 'web-3 ready'])
  })

  it('shows two of one name while it lasts', async () => {
    const stage = await waiting()
    const recycled = stage.supervisor.recycle()
    await stage.seen('online', 'web-1', { after: 1 })
    assume(standing(stage)).deep.equals(['web-1 ready', 'web-1 starting'])
    process.kill(stage.supervisor.workers()[0]?.pid ?? 0, 'SIGKILL')
    await stage.seen('death')
    await letGo(stage, 'web-1')
    await recycled
    // The successor of one that dies meanwhile is not replaced itself.
    assume(standing(stage)).deep.equals(['web-1 ready'])
    assume(stage.told('online').length).equals(2)
  })

  it('leaves the old one working when its successor fails, and rejects', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'metroplex-supervisor-'))
    using(() => rm(directory, { recursive: true, force: true, maxRetries: 3 }))
    const mended = join(directory, 'mended')
    await writeFile(mended, '')
    const stage = await staged({ web: playing('broken', { detail: mended, count: 2 }) })
    const before = stage.ready()
    await rm(mended)
    const error = await rejection(stage.supervisor.recycle())
    assume([error.code, error.message]).deep.equals([
      'EWORKER',
      'web-1 ended with code 3. It was never ready. The workers that were still to be replaced stay.'
    ])
    assume(stage.ready()).deep.equals(before)
    assume([stage.told('drain').length, stage.told('online').length, stage.told('death').length]).deep.equals([0, 3, 1])
    await writeFile(mended, '')
    await stage.supervisor.recycle()
    assume(stage.ready().filter(one => before.includes(one))).deep.equals([])
    assume(standing(stage)).deep.equals(['web-1 ready', 'web-2 ready'])
  })

  it('ends the wait for one that was not ready, when its successor is', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'metroplex-supervisor-'))
    using(() => rm(directory, { recursive: true, force: true, maxRetries: 3 }))
    const chosen = join(directory, 'chosen')
    const stage = new Stage({ web: playing('choosy', { detail: chosen }) })
    const started = stage.supervisor.start()
    await stage.seen('message')
    await writeFile(chosen, '')
    await stage.supervisor.recycle()
    await started
    assume(standing(stage)).deep.equals(['web-1 ready'])
  })

  it('asked for during another one also replaces workers started meanwhile', async () => {
    const stage = await staged({ web: playing('good', { count: 2 }) })
    let second: Promise<void> | undefined
    stage.supervisor.on('ended', () => {
      second ??= stage.supervisor.recycle()
    })
    await stage.supervisor.recycle()
    await second
    assume([stage.told('online', 'web-1').length, stage.told('online', 'web-2').length]).deep.equals([3, 2])
    assume(standing(stage)).deep.equals(['web-1 ready', 'web-2 ready'])
  })

  it('asked for while a successor boots also replaces that one, which may run the old release', async () => {
    const stage = await staged({ web: playing('good') })
    let second: Promise<void> | undefined
    stage.supervisor.on('online', () => {
      second ??= stage.supervisor.recycle()
    })
    await stage.supervisor.recycle()
    await second
    assume(stage.told('online').length).equals(3)
    assume(standing(stage)).deep.equals(['web-1 ready'])
  })

  it('of all types passes over those that have been drained', async () => {
    const stage = await staged({ web: playing('good'), mail: playing('good') })
    await stage.supervisor.drain('mail')
    const [before] = stage.ready()
    await stage.supervisor.recycle()
    assume(stage.ready()[0] === before).equals(false)
    assume(standing(stage)).deep.equals(['web-1 ready'])
    assume((await rejection(stage.supervisor.recycle('mail'))).code).equals('ECLOSED')
  })

  it('ends with the workers: its promise says that they are drained', async () => {
    const stage = await waiting()
    const recycled = rejection(stage.supervisor.recycle())
    await stage.seen('online', 'web-1', { after: 1 })
    assume(await stage.supervisor.stop()).deep.equals({ killed: [] })
    assume((await recycled).code).equals('ECLOSED')
    assume(stage.supervisor.workers()).deep.equals([])
  })

  it('passes over those that a scaling takes away meanwhile', async () => {
    const stage = await waiting()
    const recycled = stage.supervisor.recycle()
    await stage.seen('online', 'web-1', { after: 1 })
    await stage.supervisor.scale('web', 0)
    await recycled
    assume(standing(stage)).deep.equals([])
  })
})

describe('supervisor: recycling by interval', () => {
  let stage: Stage
  let directory: string

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'metroplex-supervisor-'))
    const mended = join(directory, 'mended')
    await writeFile(mended, '')
    const recycle = 1000
    stage = await staged(
      {
        clock: playing('good', { recycle }),
        resumed: playing('good', { recycle }),
        drained: playing('good', { recycle }),
        broken: playing('broken', { detail: mended, recycle }),
        bell: playing('ticking', { detail: '150' })
      },
      {},
      'suite'
    )
    await rm(mended)
    stage.supervisor.on('message', () => {
      stage.supervisor.resume('resumed').catch((error: unknown) => {
        throw error
      })
    })
    await stage.seen('recycle', 'drained-1')
    await stage.supervisor.drain('drained')
  })

  after(async () => {
    await stage.supervisor.drain('bell')
    await stage.dispose()
    await rm(directory, { recursive: true, force: true, maxRetries: 3 })
  })

  it('comes again and again, so long after the last one', async () => {
    await stage.seen('recycle', 'clock-1', { after: 2, within: 10_000 })
    for (const gap of gaps(stage.told('recycle', 'clock-1'))) assume(gap).is.atleast(995)
  })

  it('comes no more when they have been drained', () => {
    assume(stage.told('recycle', 'drained-1').length).equals(1)
  })

  it('is neither doubled nor put off by a resume, whenever that comes', async () => {
    await stage.seen('recycle', 'resumed-1', { after: 1, within: 10_000 })
    for (const gap of gaps(stage.told('recycle', 'resumed-1'))) assume(gap).is.atleast(995)
  })

  it('is retried when it has failed, which is reported', async () => {
    const { worker: error } = await stage.seen('error')
    assume([(error as unknown as Error).message]).deep.equals([
      'broken-1 ended with code 3. It was never ready. The workers that were still to be replaced stay.'
    ])
    await writeFile(join(directory, 'mended'), '')
    await stage.seen('ended', 'broken-1')
  })
})

describe('supervisor: draining and resuming', () => {
  it('stops all workers until it is resumed, under the same names', async () => {
    const stage = await staged({ web: playing('good', { count: 2 }), mail: playing('good') })
    assume(await stage.supervisor.drain('web')).deep.equals({ killed: [] })
    assume(standing(stage)).deep.equals(['mail-1 ready'])
    assume(
      stage
        .told('ended')
        .map(({ worker: { name, code } }) => [name, code])
        .sort()
    ).deep.equals([
      ['web-1', 0],
      ['web-2', 0]
    ])
    await stage.supervisor.resume()
    assume(standing(stage)).deep.equals(['web-1 ready', 'web-2 ready', 'mail-1 ready'])
    assume(stage.told('resume').map(({ worker }) => worker.name)).deep.equals(['web-1', 'web-2'])
  })

  it('starts no worker twice, however often it is resumed and drained', async () => {
    const stage = await staged({ web: playing('good', { count: 2 }) })
    const { supervisor } = stage
    await Promise.all([
      supervisor.drain(),
      rejection(supervisor.resume()),
      supervisor.drain(),
      supervisor.resume(),
      supervisor.resume(),
      supervisor.start()
    ])
    await supervisor.resume()
    assume(standing(stage)).deep.equals(['web-1 ready', 'web-2 ready'])
    assume(stage.told('online').length).equals(4)
    assume(stage.told('ended').length).equals(2)
    assume(stage.told('drain').length).equals(2)
  })

  it('is not lost while a worker boots that has nothing of ours', async () => {
    const stage = await drainedAtBoot('loading')
    assume((await stage.seen('ended')).worker.signal).equals('SIGTERM')
    assume(standing(stage)).deep.equals([])
  })

  it('is not lost while a worker boots that has our half, and is told to that', async () => {
    const stage = await drainedAtBoot('mute')
    assume((await stage.seen('ended')).worker.code).equals(0)
    assume(stage.told('message').map(({ rest }) => rest[0])).deep.equals(['loaded', 'told'])
    assume(standing(stage)).deep.equals([])
  })

  it('is not lost on a worker that has just been started', async () => {
    const stage = new Stage({ web: playing('good') })
    const started = rejection(stage.supervisor.start())
    assume(standing(stage)).deep.equals(['web-1 starting'])
    assume(await stage.supervisor.drain()).deep.equals({ killed: [] })
    assume((await started).code).equals('ECLOSED')
    assume([stage.told('ended').length, standing(stage)]).deep.equals([1, []])
  })

  it('is not lost in the pause after a death', async () => {
    const stage = await staged({ web: playing('good') }, { backoff: { min: 60_000 } })
    await stage.supervisor.send('web-1', { exit: 1 })
    await stage.seen('death')
    assume(standing(stage)).deep.equals(['web-1 backoff'])
    assume(await stage.supervisor.drain()).deep.equals({ killed: [] })
    assume(standing(stage)).deep.equals([])
    // A resumption waits for no pause.
    await stage.supervisor.resume()
    assume(standing(stage)).deep.equals(['web-1 ready'])
  })

  it('ends before a resume that comes meanwhile: no worker runs twice', async () => {
    const stage = await staged({ web: playing('patient') })
    const drained = stage.supervisor.drain()
    const resumed = stage.supervisor.resume()
    assume(standing(stage)).deep.equals(['web-1 draining'])
    await stage.supervisor.send('web-1', 'end')
    await resumed
    assume(await drained).deep.equals({ killed: [] })
    const [ended, ready] = [await stage.seen('ended'), await stage.seen('ready', 'web-1', { after: 1 })]
    assume(ended.at).is.below(ready.at)
    assume(standing(stage)).deep.equals(['web-1 ready'])
  })

  it('ends with `stop`, after which it can be started again', async () => {
    const stage = await staged({ web: playing('good') })
    const stopped = [stage.supervisor.stop(), stage.supervisor.stop()]
    assume((await rejection(stage.supervisor.start())).code).equals('ECLOSED')
    assume(await Promise.all(stopped)).deep.equals([{ killed: [] }, { killed: [] }])
    assume((await rejection(stage.supervisor.resume())).code).equals('ECLOSED')
    await Promise.all([stage.supervisor.start(), stage.supervisor.start()])
    assume(standing(stage)).deep.equals(['web-1 ready'])
    assume(stage.told('online').length).equals(2)
  })
})

describe('supervisor: scaling', () => {
  it('adds the lowest names that are free, and takes the highest away', async () => {
    const stage = await staged({ web: playing('good', { count: 2 }), mail: playing('good') })
    const before = stage.ready()
    await stage.supervisor.scale('web', 4)
    assume(standing(stage)).deep.equals(['web-1 ready', 'web-2 ready', 'web-3 ready', 'web-4 ready', 'mail-1 ready'])
    await stage.supervisor.scale('web', 1)
    assume(
      stage
        .told('ended')
        .map(({ worker }) => worker.name)
        .sort()
    ).deep.equals(['web-2', 'web-3', 'web-4'])
    await stage.supervisor.scale('web', 2)
    assume(standing(stage)).deep.equals(['web-1 ready', 'web-2 ready', 'mail-1 ready'])
    assume([stage.ready()[0], stage.ready()[2]]).deep.equals([before[0], before[2]])
  })

  it('goes down to zero, and up again', async () => {
    const stage = await staged({ web: playing('good') })
    await stage.supervisor.scale('web', 0)
    assume(standing(stage)).deep.equals([])
    await stage.supervisor.recycle()
    await stage.supervisor.scale('web', 1)
    assume(standing(stage)).deep.equals(['web-1 ready'])
  })

  it('starts no worker while they are drained, and applies when they are resumed', async () => {
    const stage = await staged({ web: playing('good') })
    await stage.supervisor.drain()
    await stage.supervisor.scale('web', 2)
    assume(standing(stage)).deep.equals([])
    await stage.supervisor.resume()
    assume(standing(stage)).deep.equals(['web-1 ready', 'web-2 ready'])
  })

  it('up again, before those that are too many have gone, has them followed', async () => {
    const stage = await staged({ web: playing('patient', { count: 2 }) })
    const down = stage.supervisor.scale('web', 1)
    const up = stage.supervisor.scale('web', 2)
    await stage.supervisor.send('web-2', 'end')
    await Promise.all([up, down])
    assume(standing(stage)).deep.equals(['web-1 ready', 'web-2 ready'])
    assume([stage.told('online', 'web-1').length, stage.told('online', 'web-2').length]).deep.equals([1, 2])
  })

  it('refuses a number that is none, in a sentence', async () => {
    const stage = await staged({ web: playing('good', { count: 0 }) })
    const scale = stage.supervisor.scale.bind(stage.supervisor) as (type: string, count?: unknown) => Promise<void>
    assume((await rejection(scale('web'))).message).equals(
      'metroplex: `scale` must be given a type and a number of workers; given: no number.'
    )
    assume((await rejection(scale('web', -1))).message).equals(
      'metroplex: `count` must be a whole number of workers, from 0 to 1024; given: -1.'
    )
    assume(stage.log).deep.equals([])
  })
})
