import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { parcel, type Question } from '../../lib/rpc/question'
import type { Task } from '../../lib/rpc/responder'
import { now } from '../../lib/common/async'
import { Message } from '../../lib/common/encoded-message'
import { assume } from '../support/assume'
import { rejection } from '../support/rejection'
import { deadline, eventually } from '../support/wait'
import { ends, type End } from './ends'

const never = (): (() => Promise<never>) => () => new Promise(() => undefined)

const question = (value: unknown = null, detail: unknown = null): Question => ({
  kind: 'kind',
  detail,
  message: parcel([value])
})
const within = (ms: number, signal?: AbortSignal): { deadline: number; signal?: AbortSignal } => ({
  deadline: now() + ms,
  ...(signal && { signal })
})

interface Why {
  code?: unknown
  maybe?: boolean
  address?: string
  message: string
  name: string
  cause?: unknown
}

/** Why something failed, as far as it matters here. */
async function refused(asked: Promise<unknown>): Promise<Why> {
  return rejection(asked)
}

function heap(): number {
  setFlagsFromString('--expose-gc')
  const gc = runInNewContext('gc') as () => void
  gc()
  return process.memoryUsage().heapUsed
}

/** Nothing is open on any side. */
const quiet = (...all: readonly End[]): Promise<unknown> =>
  eventually(() => all.every(({ questions, answers }) => questions.size === 0 && answers.size === 0))

describe('questions between servers', () => {
  it('are answered with what comes of them, binary parts included, and with nothing', async () => {
    const [a, b] = await ends(
      ({ value }) =>
        () =>
          (value as unknown[])[0]
    )
    const { address } = b
    for (const value of [1, null, 'x', { deep: [1, { bytes: Buffer.from('abc') }] }, Buffer.from('whole')]) {
      assume(await a.questions.ask(address, question(value), within(5000))).eql(value)
    }
    const [c, d] = await ends(() => () => undefined)
    assume(await c.questions.ask(d.address, question(), within(5000))).equals(undefined)
  })

  it('are answered in time however long earlier ones take', async () => {
    const [a, { address }] = await ends(({ detail }) => (detail === 'never' ? (never()() as never) : () => 'at once'))
    const waiting = a.questions.ask(address, question(null, 'never'), within(60_000)).catch(() => undefined)
    assume(await a.questions.ask(address, question(), within(5000))).equals('at once')
    await a.questions.close()
    await waiting
  })

  it('leave nothing behind when ten thousand are not answered in time', async function () {
    this.timeout(120_000)
    let aborted = 0
    const [a, b] = await ends(({ signal }) => {
      signal.addEventListener('abort', () => {
        aborted++
      })
      return never()
    })
    const timers = (): number => process.getActiveResourcesInfo().filter(type => type === 'Timeout').length
    const round = async (): Promise<number> => {
      const asked = Array.from({ length: 10_000 }, () =>
        a.questions.ask(b.address, question('x'.repeat(100)), within(1000))
      )
      const codes = await Promise.all(asked.map(async one => (await refused(one)).code))
      assume(codes.filter(code => code !== 'EDEADLINE')).eql([])
      await quiet(a, b)
      return heap()
    }
    const before = timers()
    const [first, second] = [await round(), await round()]
    assume(second - first).below(4_000_000)
    // Two of the sessions', which look from time to time for what is not used any more.
    assume(timers() - before).atmost(2)
    assume(aborted).above(1000)
  })

  it('report that they did not arrive when they were never sent', async () => {
    const [a, b] = await ends(never, { fates: Array<'lost'>(1000).fill('lost') })
    const { code, maybe, address, message } = await refused(a.questions.ask(b.address, question(), within(200)))
    assume([code, maybe, address]).eql(['EDEADLINE', false, b.address])
    assume(message).equals(`${b.address} could not be asked within 200 ms.`)
    await quiet(a, b)
  })

  it('say that they may have arrived when the answer did not come in time', async () => {
    const [a, b] = await ends(never)
    const { code, maybe, message } = await refused(a.questions.ask(b.address, question(), within(100)))
    assume([code, maybe]).eql(['EDEADLINE', true])
    assume(message).equals(`${b.address} did not answer within 100 ms.`)
  })

  it('are given up there, too, when they are here', async () => {
    const why = new Error('not wanted any more')
    const signals: AbortSignal[] = []
    const [a, b] = await ends(({ signal }) => {
      signals.push(signal)
      return never()
    })
    const giving = new AbortController()
    const asked = [1, 2, 3].map(() => a.questions.ask(b.address, question(), within(60_000, giving.signal)))
    await eventually(() => signals.length === 3)
    giving.abort(why)
    for (const one of asked) assume(await rejection(one)).equals(why)
    await eventually(() => signals.every(({ aborted }) => aborted))
    await quiet(a, b)
  })

  it('are aborted at the responder when the caller has gone, with an address or without', async () => {
    const tasks: Task[] = []
    const [a, b] = await ends(task => {
      tasks.push(task)
      return never()
    })
    for (const gone of [
      () => {
        b.answers.left(a.address)
      },
      () => {
        b.answers.lost(a.word)
      }
    ]) {
      const [count, giving] = [tasks.length, new AbortController()]
      const asked = refused(a.questions.ask(b.address, question(), within(60_000, giving.signal)))
      await eventually(() => tasks.length > count)
      gone()
      assume(tasks.at(-1)?.signal.aborted).true()
      assume(b.answers.size).equals(0)
      giving.abort()
      await asked
    }
  })

  it('fail at once when the callee has gone, or the caller ends', async () => {
    const [a, b] = await ends(never)
    const left = a.questions.ask(b.address, question(), within(60_000))
    await eventually(() => b.answers.size === 1)
    a.questions.left(b.address)
    assume((await refused(left)).code).equals('EUNREACHABLE')
    const open = a.questions.ask(b.address, question(), within(60_000))
    const closed = a.questions.close()
    assume((await refused(open)).code).equals('ECLOSED')
    await closed
    assume((await refused(a.questions.ask(b.address, question(), within(60_000)))).code).equals('ECLOSED')
  })

  it('are aborted where they run when their caller ends', async () => {
    let given: AbortSignal | undefined
    const [a, b] = await ends(({ signal }) => {
      given = signal
      return never()
    })
    const open = refused(a.questions.ask(b.address, question(), within(60_000)))
    await eventually(() => b.answers.size === 1)
    await a.questions.close()
    assume([given?.aborted, b.answers.size]).eql([true, 0])
    assume((await open).code).equals('ECLOSED')
  })

  it('fail at once when the callee ends', async () => {
    let given: AbortSignal | undefined
    const [a, b] = await ends(({ signal }) => {
      given = signal
      return never()
    })
    const open = a.questions.ask(b.address, question(), within(60_000))
    await eventually(() => b.answers.size === 1)
    b.answers.close()
    const { code, address } = await refused(open)
    assume([code, address, given?.aborted]).eql(['ECLOSED', b.address, true])
    assume((await refused(a.questions.ask(b.address, question(), within(60_000)))).code).equals('ECLOSED')
  })

  it('fail at once when more are open than allowed, on either side, and what is open is spared', async () => {
    const [a, b, c] = await ends(never, { bounds: { messages: 3 } })
    const giving = new AbortController()
    const ask = (from: End, to: End): Promise<Why> =>
      refused(from.questions.ask(to.address, question(), within(60_000, giving.signal)))
    const open = [ask(a, b), ask(a, b), ask(a, b)]
    const { code, address } = await ask(a, b)
    assume([code, address]).eql(['EBUSY', b.address])
    await eventually(() => b.answers.size === 3)
    assume((await ask(c, b)).code).equals('EBUSY')
    // Others are not concerned.
    const other = ask(a, c)
    await eventually(() => c.answers.size === 1)
    giving.abort()
    for (const one of [...open, other]) assume((await one).name).equals('AbortError')
    await quiet(a, b, c)
  })

  it('are refused when what was sent along with all that are open is too much', async () => {
    const [a, b] = await ends(never, { bounds: { total: 100_000 } })
    const large = (signal?: AbortSignal): Promise<Why> =>
      refused(a.questions.ask(b.address, question('x'.repeat(40_000)), within(60_000, signal)))
    const giving = new AbortController()
    const first = large(giving.signal)
    await eventually(() => b.answers.size === 1)
    const second = large()
    await eventually(() => b.answers.size === 2)
    assume((await large()).code).equals('EBUSY')
    giving.abort()
    await first
    await eventually(() => b.answers.size === 1)
    const again = large()
    await eventually(() => b.answers.size === 2)
    await a.questions.close()
    await Promise.all([second, again])
  })

  for (const [what, thrown, message, cause] of [
    [
      'an error',
      Object.assign(new RangeError('too far'), { code: 'EFAR' }),
      'too far',
      { name: 'RangeError', message: 'too far', code: 'EFAR' }
    ],
    ['an error without a message', new TypeError(''), 'TypeError', { name: 'TypeError', message: '' }],
    ['a string', 'just text', 'just text', { name: 'Error', message: 'just text' }],
    ['nothing', undefined, 'undefined', { name: 'Error', message: 'undefined' }],
    [
      'an object with a message',
      { message: 'looks like one', code: 7 },
      'looks like one',
      { name: 'Error', message: 'looks like one' }
    ],
    ['an object without a prototype', Object.create(null), /cannot be read/, { name: 'Error' }],
    [
      'an error whose message is no string',
      Object.assign(new Error(), { message: { odd: true } }),
      /cannot be read/,
      { name: 'Error' }
    ],
    [
      'an error whose name is no string',
      Object.assign(new Error('odd'), { name: 7 }),
      'odd',
      { name: 'Error', message: 'odd' }
    ],
    [
      'what throws when it is read',
      {
        get message(): string {
          throw new Error('on purpose')
        }
      },
      /cannot be read/,
      { name: 'Error' }
    ],
    ['an endless sentence', new Error('x'.repeat(3_000_000)), /^x{4000}…$/, { name: 'Error' }]
  ] as [string, unknown, string | RegExp, object][]) {
    it(`tell that there was thrown ${what}, without a stack, and answers beside it come`, async () => {
      const [a, b] = await ends(({ detail }) => () => {
        if (detail === 'good') return 'good'
        throw thrown
      })
      const [bad, good] = [
        refused(a.questions.ask(b.address, question(), within(5000))),
        a.questions.ask(b.address, question(null, 'good'), within(5000))
      ]
      assume(await good).equals('good')
      const error = await bad
      assume([error.code, error.address]).eql(['EREMOTE', b.address])
      if (message instanceof RegExp) assume(error.message).matches(message)
      else assume(error.message).equals(message)
      const { name, message: said, code, stack } = error.cause as Error & { code?: unknown }
      assume({ name, message: said, ...(code !== undefined && { code }) }).eql({ message: said, ...cause })
      assume(stack).equals(`${name}: ${said}`)
    })
  }

  it('report which answers cannot be sent or are too large, and why', async () => {
    const circle: Record<string, unknown> = {}
    circle['self'] = circle
    let deep: unknown = 1
    for (let i = 0; i < 100_000; i++) deep = [deep]
    for (const [value, code] of [
      [() => 1, 'EMESSAGE'],
      [Symbol('x'), 'EMESSAGE'],
      [10n, 'EMESSAGE'],
      [circle, 'EMESSAGE'],
      [deep, 'EMESSAGE'],
      ['x'.repeat(1_100_000), 'ETOOBIG']
    ] as const) {
      const [a, b] = await ends(() => () => value)
      const error = await refused(a.questions.ask(b.address, question(), within(5000)))
      assume([error.code, error.address]).eql([code, b.address])
    }
    const [a, b] = await ends(never)
    assume((await refused(a.questions.ask(b.address, question('x'.repeat(1_100_000)), within(5000)))).code).equals(
      'ETOOBIG'
    )
    await quiet(a, b)
  })

  it('cannot be answered, dropped or repeated by a server that has nothing to do with them', async () => {
    const [a, b, c] = await ends(
      ({ signal }) =>
        () =>
          new Promise(resolve => {
            signal.addEventListener('abort', () => {
              resolve(undefined)
            })
          })
    )
    const open = a.questions.ask(b.address, question(), within(1500))
    await eventually(() => b.answers.size === 1)
    const empty = Message.of(null, false)
    assume(await c.carry(a.address, 'answer', [1, 'value'], parcel(['forged']), now() + 5000)).equals(0)
    assume(
      await c.carry(a.address, 'answer', [1, 'error', { code: 'EREMOTE', message: 'forged' }], empty, now() + 5000)
    ).equals(0)
    assume(await c.carry(b.address, 'drop', [1], empty, now() + 5000)).equals(0)
    assume(await c.carry(b.address, 'wait', [1], empty, now() + 5000)).equals(0)
    const again = (await a.carry(b.address, 'ask', [1, 'kind', 1000, null], parcel([1]), now() + 5000)) as {
      code: string
    }
    assume(again.code).equals('EPROTOCOL')
    assume(b.answers.size).equals(1)
    // And what comes twice counts once.
    assume(await b.carry(a.address, 'answer', [1, 'value'], parcel(['first']), now() + 5000)).equals(1)
    assume(await b.carry(a.address, 'answer', [1, 'value'], parcel(['second']), now() + 5000)).equals(0)
    assume(await open).equals('first')
  })

  const odd: [kind: string, details: unknown[]][] = [
    [
      'ask',
      [
        null,
        'x',
        {},
        [],
        [1],
        [1, 'kind', 1000],
        [1, 'kind', 1000, null, null],
        [0, 'kind', 1000, null],
        [-1, 'kind', 1000, null],
        [1.5, 'kind', 1000, null],
        [2 ** 53, 'kind', 1000, null],
        ['1', 'kind', 1000, null],
        [[1], 'kind', 1000, null],
        [1, 7, 1000, null],
        [1, 'kind', 0, null],
        [1, 'kind', '1000', null],
        [1, 'kind', null, null]
      ]
    ],
    [
      'answer',
      [
        null,
        [],
        [1],
        [1, 'other'],
        [1, 'error'],
        [1, 'error', null],
        [1, 'error', { code: 1, message: 'x' }],
        [1, 'error', { code: 'x' }],
        [1, 'error', { code: 'x', message: 'x', cause: null }],
        [1, 'error', { code: 'x', message: 'x', cause: { name: 'x' } }],
        [1, 'error', { code: 'x', message: 'x', cause: { name: 'x', message: 'x', code: 1 } }],
        [1, 'value'],
        ['1', 'nothing'],
        [2 ** 60, 'nothing']
      ]
    ],
    ['drop', [null, 1, {}, ['1'], [0], [[1]], [null]]],
    ['wait', [null, 1, {}, ['1'], [-1], [[1]]]]
  ]
  for (const [kind, details] of odd) {
    it(`are refused with their batch when the form of \`${kind}\` is another one, and nothing happens`, async () => {
      const [a, b] = await ends(never)
      for (const detail of details) {
        const error = await refused(a.carry(b.address, kind, detail, Message.of(null, false), now() + 5000))
        assume([error.code, error.maybe]).eql(['EPROTOCOL', false])
      }
      assume([b.answers.size, b.questions.size]).eql([0, 0])
    })
  }

  it('with unknown kinds, methods and times do no harm', async () => {
    const [a, b] = await ends(never)
    const ask = (detail: unknown): Promise<unknown> => a.carry(b.address, 'ask', detail, parcel([1]), now() + 5000)
    for (const kind of ['', '__proto__', 'constructor', 'hasOwnProperty', 'x'.repeat(10_000)]) {
      assume(((await ask([1, kind, 1000, null])) as { code: string }).code).equals('EPROTOCOL')
    }
    // Longer than a timer can be.
    assume(await ask([Number.MAX_SAFE_INTEGER, 'kind', Number.MAX_SAFE_INTEGER, null])).equals(0)
    assume(b.answers.size).equals(1)
    assume(await a.carry(b.address, 'drop', [Number.MAX_SAFE_INTEGER], Message.of(null, false), now() + 5000)).equals(1)
    assume(b.answers.size).equals(0)
  })

  it('keep their order when connections lose requests and answers', async () => {
    const begun: unknown[] = []
    const [a, b] = await ends(
      ({ value }) =>
        () => {
          begun.push((value as unknown[])[0])
        },
      { fates: ['fine', 'fine', 'lost', 'unanswered', 'fine', 'unanswered', 'lost'] }
    )
    await deadline(
      Promise.all(
        Array.from({ length: 50 }, async (_, i) => {
          if (i % 10 === 0) await Promise.resolve()
          await a.questions.ask(b.address, question(i), within(10_000))
        })
      ),
      15_000,
      'all answers'
    )
    assume([...begun].sort((x, y) => Number(x) - Number(y))).eql(Array.from({ length: 50 }, (_, i) => i))
    const regular = begun.filter(i => Number(i) % 10 !== 0)
    assume(regular).eql([...regular].sort((x, y) => Number(x) - Number(y)))
  })
})
