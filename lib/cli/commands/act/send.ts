import { Command } from 'commander'
import { confirm, mustConfirm } from '../../output/confirm'
import { duration } from '../../output/duration-argument'
import { misuse } from '../../output/failure'
import { printable } from '../../output/printable'
import { counted } from '../../../reporting/quantity-text'
import { reachCluster, type AskingCluster } from '../../connect/server-choice'
import { endSparks, sendTo } from '../../../survey/spark-actions'
import { live } from '../../../survey/cluster-view'
import { asks } from '../command-run'
import { jsonValue } from '../arguments'
import { describeTarget, reportResult, targetOf, withTargets, type Targets } from './targets'

interface SendOptions extends Targets {
  readonly text?: true
}

interface EndingOptions extends Targets {
  readonly reconnect?: true
  readonly for?: number
}

const SENDABLE = '--spark, --user, --group and --all'
const ENDABLE = '--spark, --user and --group'

/** `metroplex send`: a message to sparks. */
export const send = asks<SendOptions>(
  withTargets(new Command('send').description('Send a message to sparks.').argument('<message>', 'in JSON; see --text'))
    .option('-a, --all', 'all sparks of the cluster')
    .option('-t, --text', 'the message is text, and not JSON')
    .option('-y, --yes', 'do not ask before sending to all')
    .addHelpText(
      'after',
      `
Examples:
  $ metroplex send --user alice '{"invoice":42}'
  $ metroplex send --group news --text 'Goal!'`
    ),
  async ({ session, options, args: [given = ''] }) => {
    const target = targetOf(options, 'send to', SENDABLE)
    const message = messageOf(given, options)
    const cluster = await reachCluster(session)
    if (target.kind === 'all')
      await confirm(`Send the message to all ${sparksOf(cluster)} of ${nameOf(session)}?`, options.yes)
    return reportResult(await sendTo(cluster.client, target, message), 'Sent to')
  },
  (options, [given = '']) => {
    const { kind } = targetOf(options, 'send to', SENDABLE)
    messageOf(given, options)
    if (kind === 'all') mustConfirm('Sending to all sparks', options.yes)
  }
)

/** `metroplex end`: ends sparks. */
export const end = asks<EndingOptions>(
  withTargets(new Command('end').description('End sparks: close the connections of clients.'))
    .option('-r, --reconnect', 'have their clients reconnect')
    .option('-f, --for <time>', 'keep users out for this long; 0s lets them in again', duration)
    .option('-y, --yes', 'do not ask')
    .addHelpText(
      'after',
      `
Example:
  $ metroplex end --user mallory --for 10m --yes`
    ),
  async ({ session, options }) => {
    const target = targetOf(options, 'end', ENDABLE)
    const { reconnect, for: ms } = options
    const { client } = await reachCluster(session)
    await confirm(`End ${describeTarget(target)} in ${nameOf(session)}?`, options.yes)
    return reportResult(await endSparks(client, target, { reconnect: reconnect === true, for: ms }), 'Ended')
  },
  options => {
    const { kind } = targetOf(options, 'end', ENDABLE)
    if (options.for !== undefined && kind !== 'user') throw misuse('--for keeps users out: give it with --user.')
    mustConfirm('Ending sparks', options.yes)
  }
)

function messageOf(given: string, { text }: SendOptions): unknown {
  return text ? given : jsonValue(given, 'The message')
}

function nameOf({ terms }: { readonly terms: { readonly namespace: string } }): string {
  return `the namespace ${printable(terms.namespace)}`
}

function sparksOf({ view }: AskingCluster): string {
  return counted(
    live(view).reduce((sum, { sparks }) => sum + sparks, 0),
    'spark'
  )
}
