import type { Command } from 'commander'
import type { Result } from '../../../common/types'
import { EXIT, misuse } from '../../output/failure'
import { printable } from '../../output/printable'
import { counted } from '../../../reporting/quantity-text'
import type { Target } from '../../../survey/spark-actions'
import type { CommandReport } from '../command-run'
import { severalTexts } from '../arguments'

/** What a message, or an end, is for. */
export interface Targets {
  readonly spark?: readonly string[]
  readonly user?: readonly string[]
  readonly group?: readonly string[]
  readonly all?: true
  readonly yes?: true
}

/** Add the options that say what a command is for. */
export function withTargets(command: Command): Command {
  return command
    .option('-s, --spark <id>', 'this spark; may be repeated', severalTexts)
    .option('-u, --user <name>', 'all sparks of this user; may be repeated', severalTexts)
    .option('-g, --group <name>', 'all sparks in this group; may be repeated', severalTexts)
}

/** The one target. @throws CommandFailure for none and for several */
export function targetOf({ spark, user, group, all }: Targets, verb: string, allowed: string): Target {
  const given: Target[] = []
  if (spark !== undefined) given.push({ kind: 'spark', names: spark })
  if (user !== undefined) given.push({ kind: 'user', names: user })
  if (group !== undefined) given.push({ kind: 'group', names: group })
  if (all) given.push({ kind: 'all', names: [] })
  const [target] = given
  if (target !== undefined && given.length === 1) return target
  throw misuse(`Say what to ${verb} by one of ${allowed}${given.length === 0 ? '' : ', not by several'}.`)
}

/** A target in a sentence. */
export function describeTarget({ kind, names }: Target): string {
  if (kind === 'all') return 'all sparks'
  const list = names.map(printable).join(', ')
  if (kind === 'spark') return `${names.length === 1 ? 'the spark' : 'the sparks'} ${list}`
  if (kind === 'user') return `all sparks of the ${names.length === 1 ? 'user' : 'users'} ${list}`
  return `all sparks in the ${names.length === 1 ? 'group' : 'groups'} ${list}`
}

/** What became of it. The exit code is 1 when something is missing or failed. */
export function reportResult({ send, missing = [], failed = [] }: Result, done: string): CommandReport {
  return {
    value: { ok: missing.length === 0 && failed.length === 0, send, missing, failed },
    lines: () => [
      `${done} ${counted(send, 'spark')}.`,
      ...(missing.length > 0 ? [`Not there: ${missing.map(printable).join(', ')}`] : []),
      ...failed.map(
        ({ address, code, message, maybe }) =>
          `${printable(address || 'Redis')}: ${code}: ${printable(message)}${maybe ? ' It may have arrived.' : ''}`
      )
    ],
    ...((missing.length > 0 || failed.length > 0) && { code: EXIT.NOT_SO })
  }
}
