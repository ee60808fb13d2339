import { Command } from 'commander'
import { now } from '../../../common/async'
import { confirm, mustConfirm } from '../../output/confirm'
import { duration } from '../../output/duration-argument'
import { CommandFailure, EXIT, misuse } from '../../output/failure'
import { printable } from '../../output/printable'
import { count, counted } from '../../../reporting/quantity-text'
import { answersOperators } from '../../../survey/answers'
import { chooseAskable, reachCluster, type AskingCluster } from '../../connect/server-choice'
import { viewCluster } from '../../../survey/cluster-view'
import { rateUpTo } from '../arguments'
import { asks, pause, type Asking, type CommandReport } from '../command-run'
import { replaceWorker } from '../workers/orders'
import { controlOption } from '../workers/supervisors'

interface Options {
  readonly rate: number
  readonly for: number
  readonly wait: boolean
  readonly yes?: true
  readonly worker?: string
  readonly control?: string
}

/** The time between two looks at the progress, in ms. */
const LOOK = 500

/** `metroplex drain`: has a server move its sparks to other servers. */
export const drain = asks<Options>(
  new Command('drain')
    .description('Have a server take no new sparks, move its own to other servers, and leave the registry.')
    .argument('[server]', 'its address or name')
    .option('-r, --rate <number>', 'the most sparks that it ends in a second', rateUpTo(Infinity), 100)
    .option('-f, --for <time>', 'how long it ends sparks; those that are left then stay', duration, 60_000)
    .option('--no-wait', 'end this command as soon as the drain has begun')
    .option('-y, --yes', 'do not ask')
    .option('--worker <name>', 'in place of a server: replace this worker of a supervisor of this machine')
    .addOption(controlOption())
    .addHelpText(
      'after',
      `
The process of the server goes on, and takes no sparks until it is started again or registers again. The exit code is 1
when sparks are left.

With --worker no cluster is asked, and no confirmation is needed: the supervisor starts a successor. When that is ready,
the worker moves its sparks within its own grace, and ends. It is the same as metroplex recycle --worker.

Examples:
  $ metroplex drain http://10.0.0.5:8080 --rate 200 --for 5m --yes
  $ metroplex drain --worker web-1`
    ),
  async asking => {
    const { session, options, args } = asking
    const cluster = await reachCluster(session)
    const { address, description, sparks, ...server } = chooseAskable(cluster, args[0] ?? '')
    if (!answersOperators({ address, description, sparks, ...server }))
      throw new CommandFailure(
        EXIT.CANNOT_ASK,
        `${printable(address)} runs an earlier release of metroplex, which cannot be told to drain: let the ` +
          'application call `drain()`.'
      )
    const name = description?.name ?? ''
    await confirm(`Drain ${printable(address)} (${printable(name)}) with ${counted(sparks, 'spark')}?`, options.yes)
    const { core } = cluster.client
    const begun = await core.operator.drain(
      address,
      { rate: options.rate, timeout: options.for },
      session.terms.timeout
    )
    asking.output.note(`${printable(address)} drains: it has ${counted(begun.stats.sparks, 'spark')}.`)
    if (options.wait) return watchDrain(asking, cluster, address, begun.stats.sparks)
    return { value: { address, state: begun.stats.state, left: begun.stats.sparks }, lines: () => [] }
  },
  ({ yes }, [server]) => {
    if (server === undefined) throw misuse('Say what to drain: the address or name of a server, or a --worker.')
    mustConfirm('Draining a server', yes)
  },
  undefined,
  ({ worker, control, for: longest, wait }, [server]) => {
    if (worker === undefined) return undefined
    if (server !== undefined) throw misuse('Give either a server or --worker, not both.')
    return replaceWorker(worker, { for: longest, wait, ...(control !== undefined && { control }) })
  }
)

/** Follow a drain until the server has left, or the time for it is over. */
async function watchDrain(
  { session, options, output }: Asking<Options>,
  { client }: AskingCluster,
  address: string,
  before: number
): Promise<CommandReport> {
  const { timeout } = session.terms
  const until = now() + options.for + timeout
  let left = before
  let told = before
  for (;;) {
    await pause(LOOK)
    const { servers } = await viewCluster(session)
    if (!servers.some(server => server.address === address && server.registered === 'up')) {
      const value = { address, state: 'left', moved: before, left: 0 }
      return { value, lines: () => [`${printable(address)} has left: ${counted(before, 'spark')} moved.`] }
    }
    left = await client.core.operator.status(address, timeout).then(
      ({ stats }) => stats.sparks,
      // It may have left since.
      () => left
    )
    if (left !== told) output.note(`${count(left)} left`)
    told = left
    if (now() > until) break
  }
  return {
    value: { address, state: 'draining', moved: before - left, left },
    lines: () => [`${counted(left, 'spark')} left on ${printable(address)}: they stay. Drain it again to go on.`],
    code: EXIT.NOT_SO
  }
}
