import { Command, Option } from 'commander'
import { misuse } from '../../output/failure'
import { limit, type Range } from './alert-range'
import { json } from '../../output/printable'
import { count } from '../../../reporting/quantity-text'
import { didYouMean } from '../../output/suggestion'
import { measured, MEASURES, type Measure } from '../../../survey/measures'
import { surveys, type CommandReport } from '../command-run'

interface Options {
  readonly warn?: string
  readonly critical?: string
  readonly format: 'text' | 'json' | 'nagios'
  readonly json?: true
}

/** The exit codes of monitoring plug-ins, by the names of the states. */
const STATES = ['ok', 'warning', 'critical', 'unknown'] as const

/** `metroplex check`: one number, compared with limits, for monitoring systems. */
export const check = surveys<Options>(
  new Command('check')
    .description('Compare one number with limits, for monitoring systems.')
    .argument('<measure>', Object.keys(MEASURES).join(', '))
    .option('-w, --warn <limit>', 'warn beyond this limit')
    .option('-c, --critical <limit>', 'critical beyond this limit')
    .addOption(
      new Option('-f, --format <format>', 'how it is written').choices(['text', 'json', 'nagios']).default('text')
    )
    .addHelpText(
      'after',
      `
The exit code is 0 for ok, 1 for warning, 2 for critical, and 3 when the number is unknown or the command line is wrong.
A limit is a number on the side that is bad, or a range: 3: alerts below 3, ~:3 above 3, 2:4 outside, @2:4 inside.

Measures:
${Object.entries(MEASURES)
  .map(([name, { says, unit, warn, critical }]) => {
    const limits = [warn && `warn ${warn}`, critical && `critical ${critical}`].filter(Boolean).join(', ')
    return `  ${name.padEnd(12)} ${says}${unit === '' ? '' : `, in ${unit}`}${limits === '' ? '' : `; ${limits}`}`
  })
  .join('\n')}

Example:
  $ metroplex check servers --warn 10 --critical 8 --format nagios`
    ),
  async ({ survey, options, args: [name = ''] }) => {
    const measure = measureOf(name)
    const [warn, critical] = limitsOf(measure, options)
    const value = await measured(survey, measure)
    const code = critical?.alerts(value) ? 2 : warn?.alerts(value) ? 1 : 0
    return report({ name, measure, warn, critical, value, code }, formatOf(options))
  },
  (options, [name = '']) => {
    limitsOf(measureOf(name), options)
  },
  (sentence, options, [name = '']) => {
    const format = formatOf(options)
    if (format === 'json') return json({ check: name, state: 'unknown', error: sentence })
    return format === 'nagios' ? `METROPLEX ${name.toUpperCase()} UNKNOWN - ${sentence}` : `UNKNOWN: ${sentence}`
  }
)

interface Checked {
  readonly name: string
  readonly measure: Measure
  readonly warn: Range | undefined
  readonly critical: Range | undefined
  readonly value: number
  readonly code: 0 | 1 | 2
}

function report({ name, measure, warn, critical, value, code }: Checked, format: Options['format']): CommandReport {
  const { says, unit } = measure
  const state = STATES[code]
  const shown = `${Number.isInteger(value) ? count(value) : value.toFixed(2)}${unit === '' ? '' : ` ${unit}`}`
  const broken = code === 2 ? critical : warn
  const beyond = code === 0 ? '' : ` (limit ${broken?.text ?? ''})`
  const line =
    format === 'nagios'
      ? `METROPLEX ${name.toUpperCase()} ${state.toUpperCase()} - ${shown}${beyond}, ${says} | ` +
        `${name}=${value}${unit};${warn?.text ?? ''};${critical?.text ?? ''};0;`
      : `${state.toUpperCase()}: ${name} is ${shown}${beyond}: ${says}`
  const whole = { check: name, state, value, unit, warn: warn?.text ?? null, critical: critical?.text ?? null }
  return { value: whole, lines: () => [format === 'json' ? json(whole) : line], code, format: 'fixed' }
}

function formatOf({ format, json: asJson }: Options): Options['format'] {
  return asJson ? 'json' : format
}

function measureOf(name: string): Measure {
  const measure = Object.hasOwn(MEASURES, name) ? MEASURES[name] : undefined
  if (measure !== undefined) return measure
  const known = Object.keys(MEASURES)
  throw misuse(`There is no measure ${name}: there are ${known.join(', ')}.${didYouMean(name, known)}`)
}

function limitsOf(
  { bad, ...measure }: Measure,
  { warn = measure.warn, critical = measure.critical }: Options
): [warn: Range | undefined, critical: Range | undefined] {
  const read = (option: string, text: string | undefined): Range | undefined => {
    const range = text === undefined ? undefined : limit(text, bad)
    if (text !== undefined && range === undefined)
      throw misuse(`${option} must be a number, or a range such as 3: or 2:4; given: ${text}.`)
    return range
  }
  return [read('--warn', warn), read('--critical', critical)]
}
