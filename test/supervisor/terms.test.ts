import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import fc from 'fast-check'
import { RestartPolicy, type Backoff, type Flap } from '../../lib/supervisor/restart-policy'
import { workingDirectory } from '../../lib/supervisor/paths'
import { graceOf, supervisorTerms, typesOf } from '../../lib/supervisor/options'
import { assume } from '../support/assume'

const exec = join(__dirname, 'programs', 'worker.js')
const cwd = workingDirectory()

/** An end that was not asked for. */
interface Gone {
  readonly up: number | undefined
  readonly clean: boolean
}

const backoffs: fc.Arbitrary<Backoff> = fc
  .record({
    min: fc.integer({ min: 1, max: 1000 }),
    more: fc.integer({ min: 0, max: 60_000 }),
    reset: fc.integer({ min: 1, max: 100_000 })
  })
  .map(({ min, more, reset }) => ({ min, max: min + more, reset }))
const flaps: fc.Arbitrary<Flap> = fc.record({
  crashes: fc.integer({ min: 1, max: 8 }),
  window: fc.integer({ min: 1, max: 100_000 })
})
const ends: fc.Arbitrary<Gone[]> = fc.array(
  fc.record({ up: fc.option(fc.integer({ min: 0, max: 120_000 }), { nil: undefined }), clean: fc.boolean() }),
  { maxLength: 60 }
)

/** One that dies at boot, again and again. */
function deaths(pace: RestartPolicy, count: number, up?: number): { pause: number; flaps: boolean }[] {
  return Array.from({ length: count }, () => pace.ended(up, false))
}

describe('supervisor: the pace', () => {
  const backoff = { min: 100, max: 30_000, reset: 60_000 }
  const flap = { crashes: 5, window: 60_000 }

  it('never pauses for less than the minimum, nor for more than the maximum', () => {
    fc.assert(
      fc.property(backoffs, flaps, ends, (backoff, flap, gone) => {
        const pace = new RestartPolicy(backoff, flap)
        return gone.every(({ up, clean }) => {
          const { pause } = pace.ended(up, clean)
          return pause >= backoff.min && pause <= backoff.max
        })
      })
    )
  })

  it('doubles its pause from death to death, up to the most', () => {
    assume(deaths(new RestartPolicy(backoff, flap), 12).map(({ pause }) => pause)).deep.equals([
      100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000, 30_000
    ])
  })

  it('stays at the maximum, however often a worker dies', () => {
    assume(deaths(new RestartPolicy(backoff, flap), 1100).at(-1)).deep.equals({ pause: 30_000, flaps: false })
  })

  it('does not double for one that ended in good order', () => {
    fc.assert(
      fc.property(backoffs, flaps, ends, fc.integer({ min: 0, max: 100_000 }), (backoff, flap, gone, more) => {
        const [pace, other] = [new RestartPolicy(backoff, flap), new RestartPolicy(backoff, flap)]
        for (const { up, clean } of gone) for (const one of [pace, other]) one.ended(up, clean)
        const up = backoff.min + more
        const { pause } = pace.ended(up, true)
        // One that had been well for long enough has it begin anew, however it ended.
        if (up >= backoff.reset || up >= flap.window) return pause === backoff.min
        return pause === backoff.min && pace.ended(undefined, false).pause === other.ended(undefined, false).pause
      })
    )
  })

  it('begins anew after one that had been well for long enough, and not before', () => {
    const pace = new RestartPolicy(backoff, flap)
    deaths(pace, 4)
    assume(pace.ended(59_999, false).pause).equals(1600)
    assume(pace.ended(60_000, false).pause).equals(100)
    assume(pace.ended(undefined, false).pause).equals(200)
  })

  it('begins anew after an intervention by hand', () => {
    const pace = new RestartPolicy(backoff, flap)
    assume(deaths(pace, 5).at(-1)?.flaps).equals(true)
    pace.reset()
    assume(pace.flapping).equals(false)
    assume(deaths(pace, 5)).deep.equals([100, 200, 400, 800, 1600].map((pause, at) => ({ pause, flaps: at === 4 })))
  })

  it('reports flapping once, until a worker has been well for the window', () => {
    fc.assert(
      fc.property(backoffs, flaps, ends, (backoff, flap, gone) => {
        const pace = new RestartPolicy(backoff, flap)
        let flapping = false
        return gone.every(({ up, clean }) => {
          if ((up ?? 0) >= flap.window) flapping = false
          const { flaps } = pace.ended(up, clean)
          if (flaps && flapping) return false
          flapping ||= flaps
          return pace.flapping === flapping
        })
      })
    )
  })

  it('says so again after one that had been well for the window', () => {
    const pace = new RestartPolicy(backoff, flap)
    assume(deaths(pace, 20).filter(({ flaps }) => flaps).length).equals(1)
    pace.ended(60_000, false)
    assume(pace.flapping).equals(false)
    assume(deaths(pace, 20).filter(({ flaps }) => flaps).length).equals(1)
  })

  it('counts only crashes within the window, by the time that a worker was ready', () => {
    assume(deaths(new RestartPolicy(backoff, flap), 100, 15_001).some(({ flaps }) => flaps)).equals(false)
    assume(deaths(new RestartPolicy(backoff, flap), 5, 14_999).map(({ flaps }) => flaps)).deep.equals([
      false,
      false,
      false,
      false,
      true
    ])
  })

  it('never counts an end in good order as a crash', () => {
    fc.assert(
      fc.property(
        backoffs,
        flaps,
        fc.array(fc.integer({ min: 0, max: 100_000 }), { maxLength: 60 }),
        (backoff, flap, ups) => {
          const pace = new RestartPolicy(backoff, flap)
          return ups.every(up => {
            const { pause, flaps } = pace.ended(backoff.min + up, true)
            return pause === backoff.min && !flaps
          })
        }
      )
    )
  })

  it('counts a worker that ended sooner after ready than the minimum pause, also with exit code 0', () => {
    const pace = new RestartPolicy(backoff, flap)
    assume(Array.from({ length: 5 }, () => pace.ended(99, true))).deep.equals(
      [100, 200, 400, 800, 1600].map((pause, at) => ({ pause, flaps: at === 4 }))
    )
    assume(pace.ended(100, true)).deep.equals({ pause: 100, flaps: false })
  })

  it('counts a worker that ended before it was ready, also with exit code 0', () => {
    const pace = new RestartPolicy(backoff, flap)
    const all = Array.from({ length: 5 }, () => pace.ended(undefined, true))
    assume(all.map(({ pause }) => pause)).deep.equals([100, 200, 400, 800, 1600])
    assume(all.at(-1)?.flaps).equals(true)
  })
})

describe('supervisor: its terms', () => {
  it('have defaults', () => {
    assume(typesOf({ web: { exec } })).deep.equals([
      {
        ...{ type: 'web', exec, cwd, home: cwd, args: [], env: {}, count: 1 },
        ...{ recycle: 0, grace: 10_000, boot: 30_000, memory: 0, stall: 30_000 }
      }
    ])
    assume(supervisorTerms()).deep.equals({
      backoff: { min: 100, max: 30_000, reset: 60_000 },
      flap: { crashes: 5, window: 60_000 },
      signals: true,
      output: 'inherit',
      control: false
    })
  })

  it('are what was given', () => {
    const type = {
      args: ['a'],
      env: { B: 'c' },
      count: 0,
      recycle: 1000,
      grace: 0,
      boot: 1,
      memory: 2 ** 30,
      stall: 1000
    }
    assume(typesOf({ 'w.e_b-1': { exec, ...type } })).deep.equals([{ type: 'w.e_b-1', exec, cwd, home: cwd, ...type }])
    const options = {
      backoff: { min: 1, max: 1, reset: 2 },
      flap: { crashes: 1, window: 3 },
      signals: false,
      output: 'event',
      control: '/run/web/control.sock'
    } as const
    assume(supervisorTerms(options)).deep.equals(options)
  })

  it('let the longest pause follow the shortest', () => {
    assume(supervisorTerms({ backoff: { min: 40_000 } }).backoff.max).equals(40_000)
  })

  it('find a program as Node.js does', () => {
    const given = [
      pathToFileURL(exec),
      pathToFileURL(exec).href,
      exec.replace(/\.js$/, ''),
      join('dist', 'test', 'supervisor', 'programs', 'worker.js')
    ]
    assume(given.map(one => typesOf({ web: { exec: one } })[0]?.exec)).deep.equals([
      exec,
      exec,
      exec.replace(/\.js$/, ''),
      exec
    ])
  })

  const types: [name: string, given: unknown, sentence: RegExp][] = [
    ['no types', undefined, /must be given an object with the types of its workers, .*given: undefined\.$/],
    ['an empty object', {}, /must be given an object with the types of its workers, /],
    ['a list', [{ exec }], /must be given an object with the types of its workers, .*given: an array of 1\.$/],
    [
      'a program alone',
      { web: exec },
      /`web` must be an object such as \{ exec: '.\/server\.js', count: 4 \}; given: '/
    ],
    [
      'a type that begins with a digit',
      { '1st': { exec } },
      /the type of a worker must begin with a letter, .*given: '1st'\.$/
    ],
    ['a type with a space', { 'a b': { exec } }, /the type of a worker must begin with a letter, .*given: 'a b'\.$/],
    ['no program', { web: {} }, /`web\.exec` must be the path of a program for Node\.js; given: undefined\.$/],
    ['an empty path', { web: { exec: '' } }, /`web\.exec` must be the path of a program for Node\.js; given: ''\.$/],
    [
      'a program that is not there',
      { web: { exec: '/there/is/none.js' } },
      /`web\.exec` must be .*; there is none at \/there\/is\/none\.js\.$/
    ],
    [
      'an option in another spelling',
      { web: { exec, counts: 2 } },
      /the option `web\.counts` is not known\. Did you mean `count`\?$/
    ],
    [
      'an option of another trade',
      { web: { exec, transformer: 'ws' } },
      /the option `web\.transformer` is not known\. Known are: exec, cwd, args, /
    ],
    [
      'arguments in one string',
      { web: { exec, args: '--fast' } },
      /`web\.args` must be an array of strings; given: '--fast'\.$/
    ],
    [
      'an argument that is a number',
      { web: { exec, args: [1] } },
      /`web\.args` must be an array of strings; given: an array of 1\.$/
    ],
    [
      'an environment in a list',
      { web: { exec, env: ['A=b'] } },
      /`web\.env` must be an object whose values are strings; given: an array of 1\.$/
    ],
    [
      'a variable that is a number',
      { web: { exec, env: { PORT: 80 } } },
      /`web\.env` must be an object whose values are strings; /
    ],
    [
      'a count below 0',
      { web: { exec, count: -1 } },
      /`web\.count` must be a whole number of workers, from 0 to 1024; given: -1\.$/
    ],
    [
      'half a worker',
      { web: { exec, count: 0.5 } },
      /`web\.count` must be a whole number of workers, from 0 to 1024; given: 0\.5\.$/
    ],
    [
      'a count in words',
      { web: { exec, count: 'max' } },
      /`web\.count` must be a whole number of workers, from 0 to 1024; given: 'max'\.$/
    ],
    [
      'more workers than a machine has',
      { web: { exec, count: 1025 } },
      /`web\.count` must be a whole number of workers, from 0 to 1024; given: 1025\.$/
    ],
    [
      'a recycling without a break',
      { web: { exec, recycle: 999 } },
      /`web\.recycle` must be a whole number of milliseconds, from 1000 to 2147483647; given: 999\.$/
    ],
    [
      'a recycling after a month',
      { web: { exec, recycle: 2 ** 31 } },
      /`web\.recycle` must be a whole number of milliseconds, from 1000 to 2147483647; given: 2147483648\.$/
    ],
    [
      'a grace in words',
      { web: { exec, grace: '10s' } },
      /`web\.grace` must be a whole number of milliseconds, from 0 to 2147483647; given: '10s'\.$/
    ],
    [
      'a boot without time',
      { web: { exec, boot: 0 } },
      /`web\.boot` must be a whole number of milliseconds, from 1 to 2147483647; given: 0\.$/
    ]
  ]
  for (const [name, given, sentence] of types) {
    it(`refuse ${name}, in a sentence`, () => {
      assume(() => typesOf(given)).throws(sentence)
    })
  }

  const options: [name: string, given: unknown, sentence: RegExp][] = [
    [
      'options that are none',
      4,
      /the options of a supervisor must be an object such as \{ signals: false \}; given: 4\.$/
    ],
    ['an unknown option', { signal: false }, /the option `signal` is not known\. Did you mean `signals`\?$/],
    [
      'signals that are neither on nor off',
      { signals: 'SIGTERM' },
      /`signals` must be true or false; given: 'SIGTERM'\.$/
    ],
    ['an output elsewhere', { output: 'file' }, /`output` must be 'inherit' or 'event'; given: 'file'\.$/],
    ['a backoff that is a number', { backoff: 100 }, /`backoff` must be an object; given: 100\.$/],
    [
      'a backoff of nothing',
      { backoff: { min: 0 } },
      /`backoff\.min` must be a whole number of milliseconds, from 1 to 2147483647; given: 0\.$/
    ],
    [
      'a backoff upside down',
      { backoff: { min: 200, max: 100 } },
      /`backoff\.max` must not be less than `backoff\.min`; given: min 200, max 100\.$/
    ],
    ['an unknown part of the backoff', { backoff: { factor: 2 } }, /the option `backoff\.factor` is not known\./],
    [
      'a flap of no crash',
      { flap: { crashes: 0 } },
      /`flap\.crashes` must be a whole number of crashes, from 1 to \d+; given: 0\.$/
    ],
    [
      'a flap of no time',
      { flap: { window: 0 } },
      /`flap\.window` must be a whole number of milliseconds, from 1 to 2147483647; given: 0\.$/
    ]
  ]
  for (const [name, given, sentence] of options) {
    it(`refuse ${name}, in a sentence`, () => {
      assume(() => supervisorTerms(given)).throws(sentence)
    })
  }

  it('refuse a grace that is none, in a sentence', () => {
    assume(() => graceOf(-1)).throws(
      /`grace` must be a whole number of milliseconds, from 0 to 2147483647; given: -1\.$/
    )
  })
})
