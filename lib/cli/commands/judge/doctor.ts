import { writeFile } from 'node:fs/promises'
import { Command } from 'commander'
import { asError } from '../../../common/errors'
import { EXIT, misuse } from '../../output/failure'
import type { Paint } from '../../output/paint'
import { json, printable } from '../../output/printable'
import { counted } from '../../../reporting/quantity-text'
import { didYouMean } from '../../output/suggestion'
import { wrapped } from '../../output/wrap'
import { live } from '../../../survey/cluster-view'
import { diagnose } from '../../../survey/findings/diagnosis'
import { captureOf } from '../../../survey/capture'
import type { Examination } from '../../../survey/findings/examination'
import { FINDING_CODES, type Finding, type Severity } from '../../../survey/findings/finding'
import { surveys } from '../command-run'
import { severalTexts, wholeNumber } from '../arguments'

interface Options {
  readonly skip?: readonly string[]
  readonly save?: string
  readonly scan?: number
  readonly capture?: string
}

/** How many sparks are looked at if no other number is given. */
const SCAN = 100_000

const STYLE = { error: 'red', warning: 'yellow', notice: 'dim' } as const

/** `metroplex doctor`: what is wrong with Redis and the servers, and what to do. */
export const doctor = surveys<Options>(
  new Command('doctor')
    .description('Find what is wrong with Redis and the servers, and say what to do.')
    .option('-s, --skip <code>', 'leave out findings with this code; may be repeated', severalTexts)
    .option('--save <file>', 'write the findings, and all they are drawn from, to a file, in JSON')
    .option('--scan <number>', 'look at so many sparks for those without a server; 100,000 by default', wholeNumber)
    .addHelpText(
      'after',
      `
The exit code is 1 when there is an error or a warning. The codes:
${Object.entries(FINDING_CODES)
  .map(([code, what]) => `  ${code.padEnd(18)} ${what}`)
  .join('\n')}`
    ),
  async ({ survey, output, options: { skip = [], save, scan = SCAN } }) => {
    const examined = await survey.examine(scan)
    const all = diagnose(examined)
    const findings = all.filter(({ code }) => !skip.includes(code))
    const skipped = all.length - findings.length
    const bad = findings.some(({ severity }) => severity !== 'notice')
    if (save !== undefined) await saved(save, examined, findings)
    return {
      value: { ok: !bad, findings, skipped },
      lines: () => [
        ...findings.flatMap(finding => [...linesOf(finding, output.width, output.paint), '']),
        summary(findings, skipped, examined)
      ],
      ...(bad && { code: EXIT.NOT_SO })
    }
  },
  ({ skip = [], scan, save, capture }) => {
    if (capture !== undefined && (scan !== undefined || save !== undefined))
      throw misuse('--scan and --save are about the cluster: leave them out with --capture.')
    const unknown = skip.find(code => !(code in FINDING_CODES))
    if (unknown !== undefined)
      throw misuse(
        `--skip does not know ${printable(unknown)}: metroplex doctor --help lists the codes.` +
          didYouMean(unknown, Object.keys(FINDING_CODES))
      )
  }
)

function linesOf({ severity, code, what, remedy }: Finding, width: number, paint: Paint): string[] {
  return [
    `${paint(STYLE[severity], severity)}  ${paint('bold', code)}`,
    ...wrapped(printable(what), width, '  '),
    ...wrapped(`To do: ${remedy}`, width, '  ')
  ]
}

function summary(findings: readonly Finding[], skipped: number, { view, scanned }: Examination): string {
  const number = (severity: Severity): string =>
    counted(findings.filter(one => one.severity === severity).length, severity)
  const rest = skipped === 0 ? '' : `, ${counted(skipped, 'finding')} skipped`
  const seen = `${counted(live(view).length, 'live server')}, ${counted(scanned, 'spark')} looked at`
  return `${number('error')}, ${number('warning')}, ${number('notice')}${rest}: ${seen}.`
}

/** Write all that was found. Only its owner may read it. */
async function saved(file: string, examined: Examination, findings: readonly Finding[]): Promise<void> {
  try {
    await writeFile(file, `${json(captureOf(examined, findings))}\n`, { mode: 0o600 })
  } catch (error) {
    throw misuse(`The file ${printable(file)} cannot be written (${asError(error).message}): give another --save.`)
  }
}
