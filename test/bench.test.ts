import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { median, quantile, shown, spread } from '../bench/harness/figures'
import { broadcast, forwardToAll } from '../bench/broadcast'
import { forward, forwardAndNote, forwardToOne } from '../bench/forward'
import { noteReceipts, receiptsSince } from '../bench/harness/crowd'
import { installed } from '../bench/harness/packages'
import { Stage, type Measured } from '../bench/harness/stage'
import { tablesOf, type Result } from '../bench/harness/table'
import { keepInFlight, type Done } from '../bench/harness/window'
import type { Work } from '../bench/harness/work'
import { does, subjects, type Subject } from '../bench/subjects'
import { works } from '../bench/works'
import { assume } from './support/assume'
import { using } from './support/dispose'

const [BROADCAST, CROWD, FORWARD] = ['broadcast', 'harness/crowd', 'forward'].map(file => require.resolve(`../bench/${file}`)) as [string, string, string]
const tiny = { ms: 50, warm: 10, clients: 4, most: 128 }

/** A result of which nothing but the rate matters. */
function result(subject: string, round: number, perSecond: number): Result {
  return { work: 'w', row: 'r', subject, round, operation: 'message', operations: 1, failed: 0, perSecond, cpu: {} }
}

function control(called: string): Subject {
  const found = subjects.find(({ name }) => name === called)
  if (found === undefined) throw new Error(`there is no control '${called}'`)
  return found
}

/** A control at its work, until the test ends. */
async function onStage(subject: Subject, work: Work, scale = tiny): Promise<Stage> {
  const stage = await Stage.open(subject, work.cast(scale, subject))
  using(() => stage.close())
  return stage
}

describe('the bench', () => {
  for (const work of works) {
    // What is not installed is not measured: tests need nothing but what this project itself does.
    for (const subject of subjects.filter(subject => does(subject, work.name) && (subject.kind !== 'socket.io' || installed()))) {
      it(`measures ${work.name} of ${subject.name}, without a failure`, async () => {
        const stage = await onStage(subject, work)
        const rows: Measured[] = []
        for await (const row of work.measure(stage, tiny)) rows.push(row)
        assume(rows.length).is.above(0)
        for (const { failed, operations, perSecond, cpu, latency } of rows) {
          assume(failed).equals(0)
          assume(operations).is.above(0)
          for (const figure of [perSecond, cpu.sender, cpu.redis]) assume(figure).is.above(0)
          if (latency) assume(latency.p99 >= latency.p50 && latency.p50 > 0).is.true()
        }
      })
    }
  }

  it('keeps as many calls in flight as it is told, and counts those that fail', async () => {
    let open = 0
    let most = 0
    const call = (done: Done): void => {
      most = Math.max(most, ++open)
      setImmediate(() => {
        open--
        done(most === open + 1 ? null : new Error('no'), 2)
      })
    }
    const ran = await keepInFlight(3, 20, call)
    assume(most).equals(3)
    assume(open).equals(0)
    assume(ran.failure).equals('Error: no')
    assume(ran.failed).is.above(0)
    assume(ran.operations % 2).equals(0)
    assume(ran.ended - ran.began).is.above(19)
  })

  it('makes the next call when a client has got what came of the one before, where it goes by receipts', async () => {
    const { sender, crowd, ids: [, theirs = []] } = await onStage(control('http'), forward)
    await crowd.run(CROWD, noteReceipts, undefined)
    const { first, sent, operations } = await sender.run(FORWARD, forwardAndNote, { ids: theirs, ms: 50 })
    const receipts = await crowd.run(CROWD, receiptsSince, undefined)
    assume(operations).equals(sent.length)
    assume(receipts).has.length(2 * operations)
    for (let i = 1; i < operations; i++) {
      assume(receipts[2 * i]).equals(first + i)
      assume((sent[i] ?? NaN) - (receipts[2 * i - 1] ?? NaN)).is.above(0)
    }
  })

  it('goes on without the receipts of calls that fail', async () => {
    const { sender, ids: [, [his = ''] = []] } = await onStage(control('http'), forward)
    const ran = await sender.run(FORWARD, forwardToOne, { ids: [his, 'nobody'], window: { inFlight: 8, ms: 50, by: 'receipt' } })
    assume(ran.operations).is.above(1)
    assume(ran.failed).is.above(1)
    assume(ran.failure).equals('Error: it said 404')
  })

  it('takes the receipts of thousands that come at once for as many', async () => {
    const { sender } = await onStage(control('ws frame'), broadcast, { ...tiny, clients: 300 })
    const ran = await sender.run(BROADCAST, forwardToAll, { inFlight: 2, ms: 50, by: 'receipt', each: 900 })
    assume(ran.operations).is.above(900)
    assume(ran.operations % 900).equals(0)
  })

  it('tells the middle, the rare, and the range', () => {
    assume(median([3, 1, 2])).equals(2)
    assume(median([4, 1, 2, 3])).equals(2.5)
    assume(quantile(Array.from({ length: 100 }, (_, i) => i), 0.99)).equals(99)
    assume(['0.0123', '2.31', '14.2', '231', '2 310', '231 000'].map(text => shown(Number(text.replace(' ', '')))))
      .deep.equals(['0.0123', '2.31', '14.2', '231', '2 310', '231 000'])
    assume(spread([2, 1, 3])).equals('2.00 (1.00 to 3.00)')
  })

  it('takes ratios round by round', () => {
    const lines = tablesOf([result('a', 1, 10), result('b', 1, 5), result('a', 2, 30), result('b', 2, 10)], ['a', 'b'])
    assume(lines).deep.equals([
      '',
      '| w | figure | a | b; a ÷ it |',
      '| --- | --- | --- | --- |',
      '| r | messages a second | 20.0 (10.0 to 30.0) | 7.50; 2.50 (2.00 to 3.00) |'
    ])
  })

  it('has a dash where a subject has no such row, and a table of its own for each work', () => {
    const other = { ...result('b', 1, 5), work: 'v', row: 'q' }
    const lines = tablesOf([result('a', 1, 10), other, { ...result('c', 1, 20), row: 's' }], ['a', 'b', 'c'])
    assume(lines).deep.equals([
      '', '| w | figure | a | c; a ÷ it |', '| --- | --- | --- | --- |',
      '| r | messages a second | 10.0 | – |', '| s | messages a second | – | 20.0 |',
      '', '| v | figure | a | b; a ÷ it |', '| --- | --- | --- | --- |',
      '| q | messages a second | – | 5.00 |'
    ])
  })

  for (const { what, args, sentence } of [
    { what: 'works', args: ['nothing'], sentence: `There is no work 'nothing'; there are: ${works.map(({ name }) => name).join('; ')}.` },
    { what: 'subjects', args: ['--subjects', 'this,nobody'], sentence: `There is no subject 'nobody'; there are: ${subjects.map(({ name }) => name).join('; ')}.` }
  ]) {
    it(`says which ${what} there are when one is not`, async () => {
      const answer = await new Promise<{ code: number, said: string }>(resolve => {
        execFile(process.execPath, [join(__dirname, '..', 'bench', 'run.js'), ...args], (error, _out, said) => {
          resolve({ code: Number(error?.code), said })
        })
      })
      assume(answer.code).equals(2)
      assume(answer.said).includes(sentence)
    })
  }
})
