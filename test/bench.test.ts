import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { median, quantile, shown, spread } from '../bench/harness/figures'
import { installed } from '../bench/harness/packages'
import { Stage, type Measured } from '../bench/harness/stage'
import { tablesOf, type Result } from '../bench/harness/table'
import { keepInFlight, type Done } from '../bench/harness/window'
import { does, subjects } from '../bench/subjects'
import { works } from '../bench/works'
import { assume } from './support/assume'
import { using } from './support/dispose'

const tiny = { ms: 50, warm: 10, clients: 4, most: 128 }

/** A result of which nothing but the rate matters. */
function result(subject: string, round: number, perSecond: number): Result {
  return { work: 'w', row: 'r', subject, round, operation: 'message', operations: 1, failed: 0, perSecond, cpu: {} }
}

describe('the bench', () => {
  for (const work of works) {
    // What is not installed is not measured: tests need nothing but what this project itself does.
    for (const subject of subjects.filter(subject => does(subject, work.name) && (subject.kind !== 'socket.io' || installed()))) {
      it(`measures ${work.name} of ${subject.name}, without a failure`, async () => {
        const stage = await Stage.open(subject, work.cast(tiny, subject))
        using(() => stage.close())
        const rows: Measured[] = []
        for await (const row of work.measure(stage, tiny)) rows.push(row)
        assume(rows.length).is.above(subject.kind === 'socket.io' ? 0 : 1)
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

  it('says which works there are when one is not', async () => {
    const answer = await new Promise<{ code: number, said: string }>(resolve => {
      execFile(process.execPath, [join(__dirname, '..', 'bench', 'run.js'), 'nothing'], (error, _out, said) => {
        resolve({ code: Number(error?.code), said })
      })
    })
    assume(answer.code).equals(2)
    assume(answer.said).includes("There is no work 'nothing'; there are: register; lookup; forward; sparks; broadcast; sockjs.")
  })
})
