import fc from 'fast-check'
import { WorkerQuestions } from '../../lib/supervisor/process/questions'
import { memoryOf, sizeText } from '../../lib/supervisor/watch/byte-size'
import { MemoryLimit } from '../../lib/supervisor/watch/memory-limit'
import type { WorkerQuestion } from '../../lib/supervisor/worker/ipc'
import { assume } from '../support/assume'
import { rejection } from '../support/rejection'
import { eventually } from '../support/wait'
import { longer, playing, staged, type Stage } from './stage'

const MB = 2 ** 20

/** Resolves when all ready workers have told their vitals. */
async function heard(stage: Stage): Promise<void> {
  await eventually(() => stage.supervisor.workers().every(({ rss }) => rss !== undefined), { what: 'all vitals' })
}

describe('supervisor: vitals', () => {
  it('are told by `workers()`, within a second or so, and without a message to the application', async () => {
    const began = Date.now()
    const stage = await staged({ web: playing('listening') })
    assume(stage.supervisor.workers()[0]?.rss).equals(undefined)
    await heard(stage)
    const [worker] = stage.supervisor.workers()
    assume(worker?.rss).is.within(16 * MB, 512 * MB)
    assume(worker?.eventLoopUtilization).is.within(0, 1)
    assume(worker?.since).is.within(began, worker?.heard ?? NaN)
    assume(worker?.restarts).equals(0)
    await stage.supervisor.send('web-1', 'after the questions')
    assume((await stage.seen('message')).rest).deep.equals(['after the questions'])
  })

  it('say how busy a worker is', async () => {
    const stage = await staged({ web: playing('good') })
    await heard(stage)
    await stage.supervisor.send('web-1', { spin: 3000 })
    await eventually(() => (stage.supervisor.workers()[0]?.eventLoopUtilization ?? 0) > 0.5, { what: 'a busy loop' })
  })

  it('count restarts, without those that were asked for', async () => {
    const stage = await staged({ web: playing('good', { count: 2 }) }, { backoff: { min: 10 } })
    const restarts = (): number[] => stage.supervisor.workers().map(one => one.restarts)
    await stage.supervisor.recycle()
    assume(restarts()).deep.equals([0, 0])
    process.kill(stage.pid('web-1'), 'SIGKILL')
    await stage.seen('ready', 'web-1', { after: 2 })
    assume(restarts()).deep.equals([1, 0])
    await longer(10)
    process.kill(stage.pid('web-2'), 'SIGTERM')
    await stage.seen('ended', 'web-2', { after: 1 })
    assume(restarts()).deep.equals([1, 1])
  })
})

describe('supervisor: questions to a worker', () => {
  function asking(): { questions: WorkerQuestions; sent: WorkerQuestion[] } {
    const sent: WorkerQuestion[] = []
    return { questions: new WorkerQuestions('web-1', question => sent.push(question) > 0), sent }
  }

  it('are answered in any order', async () => {
    const { questions, sent } = asking()
    const both = [questions.ask('one', 60_000), questions.ask('two', 60_000)]
    for (const { id, what } of sent.reverse()) questions.answered({ is: 'answer', id, value: what })
    assume(await Promise.all(both)).deep.equals(['one', 'two'])
  })

  it('fail when the worker does not answer in time, cannot, or ends', async () => {
    const { questions, sent } = asking()
    assume((await rejection(questions.ask('slow', 1))).message).equals('web-1 did not answer within 1 ms.')
    questions.answered({ is: 'answer', id: sent[0]?.id ?? NaN, value: 'too late' })
    const [unknown, last] = [rejection(questions.ask('odd', 60_000)), rejection(questions.ask('last', 60_000))]
    questions.answered({ is: 'answer', id: sent[1]?.id ?? NaN, error: 'it knows no odd' })
    questions.close()
    assume((await unknown).message).equals('web-1 could not answer: it knows no odd.')
    assume((await last).message).equals('web-1 ended before it answered.')
    const mute = new WorkerQuestions('web-1', () => false)
    assume((await rejection(mute.ask('any', 60_000))).message).equals('web-1 cannot be asked now.')
  })
})

describe('supervisor: a worker that is stalled', () => {
  it('is killed and replaced, and no other worker is touched', async () => {
    const stage = await staged({ web: playing('good', { count: 3, stall: 3000 }) })
    await heard(stage)
    const before = stage.ready()
    await stage.supervisor.send('web-2', { spin: 0 })
    const { worker } = await stage.seen('death')
    assume([worker.name, worker.signal, worker.reason]).deep.equals([
      'web-2',
      'SIGKILL',
      'web-2 answered nothing for 3000 ms and was killed: its event loop was blocked.'
    ])
    await stage.seen('ready', 'web-2', { after: 1 })
    assume(stage.ready().filter(one => before.includes(one)).length).equals(2)
    assume(stage.told('death').length).equals(1)
    assume(stage.supervisor.workers().map(({ restarts }) => restarts)).deep.equals([0, 1, 0])
  })

  it('is left alone when it answers again before that, or with `stall: false`', async () => {
    const stage = await staged({
      short: playing('good', { stall: 60_000 }),
      never: playing('good', { stall: false }),
      control: playing('good', { stall: 3000 })
    })
    await heard(stage)
    for (const name of ['short-1', 'never-1']) await stage.supervisor.send(name, { spin: 6000 })
    await stage.supervisor.send('control-1', { spin: 0 })
    await stage.seen('death')
    for (const name of ['short-1', 'never-1']) {
      await stage.supervisor.send(name, { echo: name })
      await stage.seen('message', name)
    }
    assume(stage.told('death').map(({ worker }) => worker.name)).deep.equals(['control-1'])
  })

  it('is left alone under a debugger, and without our half', async () => {
    const stage = await staged({
      debugged: playing('inspected', { stall: 3000 }),
      deaf: playing('deaf', { stall: 3000, grace: 0 }),
      control: playing('good', { stall: 3000 })
    })
    await eventually(() => stage.supervisor.workers('debugged')[0]?.rss !== undefined, { what: 'vitals' })
    process.kill(stage.pid('debugged-1'), 'SIGSTOP')
    process.kill(stage.pid('deaf-1'), 'SIGSTOP')
    for (const n of [0, 1]) {
      await eventually(() => stage.supervisor.workers('control')[0]?.rss !== undefined, { what: 'vitals' })
      await stage.supervisor.send('control-1', { spin: 0 })
      await stage.seen('ready', 'control-1', { after: n + 1 })
    }
    assume(stage.told('death').map(({ worker }) => worker.name)).deep.equals(['control-1', 'control-1'])
  })
})

describe('supervisor: a worker that takes too much memory', () => {
  it('is replaced when its successor is ready, and an event tells why', async () => {
    const stage = await staged({ web: playing('good', { count: 2, memory: 256 * MB, stall: 10_000 }) })
    await heard(stage)
    const [old] = stage.ready()
    const from = stage.log.length
    await stage.supervisor.send('web-1', { take: 300 * MB })
    await stage.seen('ended', 'web-1', { within: 30_000 })
    const log = stage.log.slice(from)
    assume(log.map(({ event, worker }) => `${worker.name} ${event}`)).deep.equals([
      'web-1 memory',
      'web-1 recycle',
      'web-1 online',
      'web-1 ready',
      'web-1 drain',
      'web-1 ended'
    ])
    assume(log[0]?.worker.reason).matches(
      /^web-1 uses \d+ MB of memory, more than its limit of 256 MB: it is being replaced\.$/
    )
    assume(Math.min(...log.map(({ ready }) => ready))).equals(2)
    assume(stage.ready().includes(old ?? '')).equals(false)
  })

  it('stays when it was above the limit from its start, which is reported once', async () => {
    const stage = await staged({
      fat: playing('fat', { detail: String(200 * MB), memory: 64 * MB, stall: 10_000 }),
      control: playing('good', { memory: '256mb', stall: 10_000 })
    })
    await stage.seen('memory', 'fat-1')
    await eventually(() => stage.supervisor.workers('control')[0]?.rss !== undefined, { what: 'vitals' })
    await stage.supervisor.send('control-1', { take: 300 * MB })
    await stage.seen('ended', 'control-1', { within: 30_000 })
    assume(stage.told('memory', 'fat-1').length).equals(1)
    assume(stage.told('memory', 'fat-1')[0]?.worker.reason).matches(
      /it stays, because its successor would use as much\.$/
    )
    assume(stage.told('recycle').map(({ worker }) => worker.name)).deep.equals(['control-1'])
  })

  it('is judged by five answers in a row', () => {
    const limit = new MemoryLimit(100)
    const due = [50, 101, 101, 101, 101, 100, 101, 101, 101, 101, 101].map((rss, at) => limit.judge('a', rss, at))
    assume(due.findIndex(one => one !== undefined)).equals(10)
    assume(due[10]).equals('replace')
  })

  it('leaves at least a minute between two replacements of a slot, and ever more while they do not help', () => {
    const limit = new MemoryLimit(100)
    const times: number[] = []
    let worker = 0
    for (let at = 0; at < 4 * 3_600_000; at += 1000) {
      const due = limit.judge(worker, at % 30_000 === 0 ? 50 : 150, at)
      if (due !== 'replace') continue
      times.push(at)
      worker++
    }
    const gaps = times.slice(1).map((at, n) => Math.floor((at - (times[n] ?? NaN)) / 60_000))
    assume(gaps).deep.equals([1, 2, 4, 8, 16, 32, 60, 60])
  })

  it('is never replaced in a hot loop, whatever its successors use', () => {
    fc.assert(
      fc.property(fc.array(fc.record({ rss: fc.integer({ min: 0, max: 200 }), ms: fc.nat(5000) })), answers => {
        const limit = new MemoryLimit(100)
        let [at, worker, last] = [0, 0, -Infinity]
        return answers.every(({ rss, ms }) => {
          at += ms
          if (limit.judge(worker, rss, at) !== 'replace') return true
          const early = at - last < 60_000
          worker++
          last = at
          return !early
        })
      })
    )
  })
})

describe('supervisor: a size', () => {
  it('is a number of bytes, or a number with a unit', () => {
    const given = [2 ** 30, '1gb', '1.5 GB', '512mb', '65536kb', '1tb', '1073741824b']
    assume(given.map(one => memoryOf('memory', one) / MB)).deep.equals([1024, 1024, 1536, 512, 64, 1048576, 1024])
    assume([64 * MB, 1.5 * 2 ** 30, 9.96 * MB].map(sizeText)).deep.equals(['64 MB', '1.5 GB', '10 MB'])
  })

  it('is refused outside of its bounds, and in another form', () => {
    for (const wrong of [0, -1, NaN, Infinity, '31mb', '65tb', 1000])
      assume(() => memoryOf('web.memory', wrong)).throws(/`web\.memory` must be a size from 32mb to 64tb/)
    for (const wrong of ['', '1', 'gb', '1 pb', null, true, {}, '1e3mb'])
      assume(() => memoryOf('web.memory', wrong)).throws(/such as '512mb', '1\.5gb', or a number of bytes; given: /)
  })
})
