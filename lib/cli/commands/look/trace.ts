import { Command } from 'commander'
import { groupOf, idOf, userOf } from '../../../common/names'
import { span } from '../../../reporting/quantity-text'
import { traceMessage, type TraceStep, type TraceTarget } from '../../../survey/trace'
import { EXIT, misuse } from '../../output/failure'
import type { Paint } from '../../output/paint'
import { printable } from '../../output/printable'
import { wrapped } from '../../output/wrap'
import { asks } from '../command-run'

interface Options {
  readonly spark?: string
  readonly user?: string
  readonly group?: string
}

/** `metroplex trace`: the way that a message would take. */
export const trace = asks<Options>(
  new Command('trace')
    .description('Follow the way that a message would take to a spark, a user or a group, without delivering it.')
    .option('--spark <id>', 'a spark')
    .option('--user <name>', 'a user')
    .option('--group <name>', 'a group')
    .addHelpText(
      'after',
      `
Each step is shown with its time. One that fails says what to do, and makes the exit code 1. A "?" is a step that
cannot be found out.

Example:
  $ metroplex trace --user alice`
    ),
  async ({ session, output, options }) => {
    const target = targetOf(options)
    const steps: TraceStep[] = []
    await traceMessage(session, target, step => {
      steps.push(step)
      for (const line of linesOf(step, output.width, output.paint)) output.note(line)
    })
    const ok = steps.every(step => step.ok !== false)
    return { value: { ...target, ok, steps: steps.map(rounded) }, lines: () => [], ...(!ok && { code: EXIT.NOT_SO }) }
  },
  targetOf
)

/** @throws CommandFailure unless exactly one target is given */
function targetOf({ spark, user, group }: Options): TraceTarget {
  const given = [spark, user, group].filter(one => one !== undefined)
  if (given.length !== 1) throw misuse('Say what to trace by one of --spark, --user and --group.')
  if (spark !== undefined) return { spark: idOf(spark) }
  return user !== undefined ? { user: userOf(user) } : { group: groupOf(group) }
}

function rounded(step: TraceStep): TraceStep {
  return step.took === null ? step : { ...step, took: Math.round(step.took * 100) / 100 }
}

function linesOf({ step, server, ok, says, took, remedy }: TraceStep, width: number, paint: Paint): string[] {
  const mark = ok === null ? paint('yellow', '?') : ok ? paint('green', '+') : paint('red', 'X')
  const time = (took === null ? '' : span(took)).padStart(7)
  const where = server === undefined || says.startsWith(server) ? '' : `${server} `
  const [first = '', ...rest] = wrapped(printable(`${where}${says}`), width - INDENT, '')
  return [
    `${mark} ${step.padEnd(8)} ${time}  ${first}`,
    ...rest.map(line => `${' '.repeat(INDENT)}${line}`),
    ...(remedy === undefined ? [] : wrapped(`To do: ${remedy}`, width, ' '.repeat(INDENT)))
  ]
}

/** The width of what stands before the words of a step: mark, name and time. */
const INDENT = 20
