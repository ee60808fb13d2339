import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { all, draw, exponentsOf, type Line } from '../bench/growth'
import type { Point } from '../bench/growth/growing'
import { exponent, median, quantile, shown, spread } from '../bench/harness/figures'
import { broadcast, forwardToAll } from '../bench/broadcast'
import { forward, forwardAndNote, forwardToOne } from '../bench/forward'
import { noteReceipts, receiptsSince } from '../bench/harness/crowd'
import { installed } from '../bench/harness/packages'
import { countSocketCalls, socketCalls, type SocketCalls } from '../bench/harness/socket-calls'
import { Stage, type Measured } from '../bench/harness/stage'
import { tablesOf, type Result } from '../bench/harness/table'
import { keepInFlight, type Done } from '../bench/harness/window'
import { commandOf, type Work } from '../bench/harness/work'
import { lookup } from '../bench/lookup'
import { reap } from '../bench/reap'
import { register } from '../bench/register'
import { check, trickles } from '../bench/trickle'
import { does, former, ours, subjects, type Subject } from '../bench/subjects'
import { works } from '../bench/works'
import { assume } from './support/assume'
import { using } from './support/dispose'

const [BROADCAST, CALLS, CROWD, FORWARD] = ['broadcast', 'harness/socket-calls', 'harness/crowd', 'forward'].map(file =>
  require.resolve(`../bench/${file}`)
) as [string, string, string, string]
const tiny = { ms: 50, warm: 10, clients: 4, most: 128, size: 0.002 }

/**
 * Works of which 1.0.2 is not measured here: the guard measures it in five, and the order of a trickle it does not
 * keep.
 */
const guarded = new Set([broadcast, forward, lookup, reap, register, ...trickles])

/** Works that a subject cannot do. */
const impossible: Readonly<Record<string, readonly Subject[]>> = { heal: [former] }

/** A result of which nothing but the rate matters. */
function result(subject: string, round: number, perSecond: number): Result {
  return { work: 'w', row: 'r', subject, round, operation: 'message', operations: 1, failed: 0, perSecond, cpu: {} }
}

/** A cost of servers as they grow with some power. */
function line(subject: string, size: number, power: number): Line {
  return { work: 'growth', with: 'servers', cost: 'bytes', subject, size, value: 5 * size ** power }
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
    const measured = (subject: Subject): boolean =>
      does(subject, work) && (subject.kind !== 'socket.io' || installed()) && (subject !== former || !guarded.has(work))
    for (const subject of subjects.filter(measured)) {
      it(`measures ${work.name} of ${subject.name}, without a failure`, async () => {
        const stage = await onStage(subject, work)
        const rows: Measured[] = []
        for await (const row of work.measure(stage, tiny)) rows.push(row)
        assume(rows.length > 0).equals(!(impossible[work.name] ?? []).includes(subject))
        for (const { failed, operations, perSecond = 1, cpu, latency, figures = {} } of rows) {
          assume(failed).equals(0)
          assume(operations).is.above(0)
          const used = Object.keys(cpu).length > 0 ? [cpu.sender, cpu.redis] : []
          for (const figure of [perSecond, ...used]) assume(figure).is.above(0)
          for (const [name, figure] of Object.entries(figures)) {
            // What is cached is not asked for.
            if (name.startsWith('Redis, socket')) assume(figure).is.above(-0.001)
            else assume(figure).is.above(0)
          }
          assume([...used, ...Object.values(figures)].length).is.above(0)
          if (latency) assume(latency.p99 >= latency.p50 && latency.p50 > 0).is.true()
        }
      })
    }
  }

  for (const growing of all) {
    it(`measures how costs grow with ${growing.label}`, async () => {
      const points: Point[] = []
      for await (const point of growing.measure(ours, tiny)) points.push(point)
      assume(points.length).is.above(0)
      for (const { costs } of points) {
        assume(Object.keys(costs)).deep.equals(Object.keys(growing.costs))
        for (const cost of Object.values(costs)) assume(cost).is.above(0)
      }
    })
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

  it('makes the next call when a client has received the previous message, where receipts count', async () => {
    const {
      sender,
      crowd,
      ids: [, theirs = []]
    } = await onStage(control('http'), forward)
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

  it('counts each write to a socket and each read, also of the parser of an HTTP server', async () => {
    const {
      sender,
      receivers: [receiver = sender],
      ids: [, theirs = []]
    } = await onStage(control('http'), forward)
    const calls = (): Promise<SocketCalls[]> =>
      Promise.all([sender, receiver].map(server => server.run(CALLS, socketCalls, undefined)))
    for (const server of [sender, receiver]) await server.run(CALLS, countSocketCalls, undefined)
    const before = await calls()
    const { operations } = await sender.run(FORWARD, forwardToOne, { ids: theirs, window: { inFlight: 1, ms: 50 } })
    const after = await calls()
    const made = after.map(({ writes, reads }, i) => [
      writes - (before[i]?.writes ?? 0),
      reads - (before[i]?.reads ?? 0)
    ])
    // The receiver writes to the client and answers.
    assume(made).deep.equals([
      [operations, operations],
      [2 * operations, operations]
    ])
  })

  it('notices messages that are missing, doubled, late or at another client', () => {
    // Messages 7, 8, 9 and 10 go to the clients 1, 2, 1 and 2; each takes a millisecond.
    const noted = { operations: 0, failed: 0, began: 0, ended: 3, first: 7, sent: Float64Array.of(0, 1, 2, 3) }
    const all = [7, 1, 1, 8, 2, 2, 9, 3, 1, 10, 4, 2]
    const wrong = (arrivals: number[]): number => check(noted, Float64Array.from(arrivals), [1, 2]).wrong
    assume(check(noted, Float64Array.from(all), [1, 2])).deep.equals({
      ran: { ...noted, operations: 4, ended: 4 },
      took: [1, 1, 1, 1],
      wrong: 0
    })
    assume(wrong(all.slice(3))).equals(1)
    assume(wrong([...all, 10, 5, 2])).equals(1)
    assume(wrong([9, 3, 1, 7, 3, 1, ...all.slice(3, 6), ...all.slice(9)])).equals(1)
    assume(wrong([...all.slice(0, 9), 10, 4, 1])).equals(2)
    assume(check(noted, Float64Array.from(all.slice(3)), [1, 2]).ran).has.property('failed', 1)
  })

  it('goes on without the receipts of calls that fail', async () => {
    const {
      sender,
      ids: [, [his = ''] = []]
    } = await onStage(control('http'), forward)
    const ran = await sender.run(FORWARD, forwardToOne, {
      ids: [his, 'unknown'],
      window: { inFlight: 8, ms: 50, by: 'receipt' }
    })
    assume(ran.operations).is.above(1)
    assume(ran.failed).is.above(1)
    assume(ran.failure).equals('Error: it said 404')
  })

  it('counts thousands of receipts that arrive at once', async () => {
    const { sender } = await onStage(control('ws frame'), broadcast, { ...tiny, clients: 300 })
    const ran = await sender.run(BROADCAST, forwardToAll, { inFlight: 2, ms: 50, by: 'receipt', each: 900 })
    assume(ran.operations).is.above(900)
    assume(ran.operations % 900).equals(0)
  })

  it('reports median, high percentile and range', () => {
    assume(median([3, 1, 2])).equals(2)
    assume(median([4, 1, 2, 3])).equals(2.5)
    assume(
      quantile(
        Array.from({ length: 100 }, (_, i) => i),
        0.99
      )
    ).equals(99)
    assume(
      ['0.0123', '2.31', '14.2', '231', '2 310', '231 000'].map(text => shown(Number(text.replace(' ', ''))))
    ).deep.equals(['0.0123', '2.31', '14.2', '231', '2 310', '231 000'])
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

  it('has a dash where a subject has no such row, and one table per work', () => {
    const other = { ...result('b', 1, 5), work: 'v', row: 'q' }
    const lines = tablesOf([result('a', 1, 10), other, { ...result('c', 1, 20), row: 's' }], ['a', 'b', 'c'])
    assume(lines).deep.equals([
      '',
      '| w | figure | a | c; a ÷ it |',
      '| --- | --- | --- | --- |',
      '| r | messages a second | 10.0 | – |',
      '| s | messages a second | – | 20.0 |',
      '',
      '| v | figure | a | b; a ÷ it |',
      '| --- | --- | --- | --- |',
      '| q | messages a second | – | 5.00 |'
    ])
  })

  it('prints figures of one row, and a dash where a subject has none', () => {
    const lines = tablesOf(
      [{ ...result('a', 1, 10), perSecond: undefined, figures: { 'bytes a spark': 7 } }, result('b', 1, 5)],
      ['a', 'b']
    )
    assume(lines.slice(3)).deep.equals(['| r | messages a second | – | 5.00 |', '| r | bytes a spark | 7.00 | – |'])
  })

  it('reports the exponent by which a cost grows', () => {
    const power = (of: number): number => exponent([2, 10, 1000].map(size => [size, 5 * size ** of]))
    for (const expected of [0, 0.5, 1, 2]) assume(power(expected)).is.near(expected, 1e-9)
    assume(
      exponent([
        [0, 1],
        [1, 1],
        [10, 100],
        [100, 0]
      ])
    ).is.near(2, 1e-9)
    const cost = 'Bytes to and from Redis while each server beats once'
    const rows = exponentsOf([10, 1000].flatMap(size => [line('a', size, 1), line('b', size, 2)])).slice(2)
    assume(rows).deep.equals([
      `| servers | ${cost} | a | 10 to 1000 | 50.0 to 5 000 bytes | 1.00 |`,
      `| servers | ${cost} | b | 10 to 1000 | 500 to 5 000 000 bytes | 2.00 |`
    ])
  })

  it('draws a picture of each cost, with all subjects in it', () => {
    const directory = mkdtempSync(join(tmpdir(), 'metroplex-plots-'))
    using(() => {
      rmSync(directory, { recursive: true })
    })
    const drawn = draw(
      [10, 1000].flatMap(size => [line('a', size, 1), line('b', size, 2), { ...line('a', size, 1), cost: 'commands' }]),
      directory
    )
    assume(drawn.map(path => basename(path))).deep.equals(['servers-bytes.svg', 'servers-commands.svg'])
    const text = readFileSync(drawn[0] ?? '', 'utf8')
    for (const name of ['a: grows with the power 1.00', 'b: grows with the power 2.00']) assume(text).includes(name)
  })

  for (const { what, args, sentence } of [
    {
      what: 'works',
      args: ['nothing'],
      sentence: `There is no work 'nothing'; there are: ${[...new Set(works.map(commandOf))].join('; ')}; growth.`
    },
    {
      what: 'subjects',
      args: ['--subjects', 'this,unknown'],
      sentence: `There is no subject 'unknown'; there are: ${subjects.map(({ name }) => name).join('; ')}.`
    }
  ]) {
    it(`says which ${what} there are when one is not`, async () => {
      const answer = await new Promise<{ code: number; said: string }>(resolve => {
        execFile(process.execPath, [join(__dirname, '..', 'bench', 'run.js'), ...args], (error, _out, said) => {
          resolve({ code: Number(error?.code), said })
        })
      })
      assume(answer.code).equals(2)
      assume(answer.said).includes(sentence)
    })
  }
})
