import { Command, InvalidArgumentError } from 'commander'
import type { Balanced } from '../../../common/types'
import type { ServerStatus } from '../../../operations/operator-questions'
import { confirm, mustConfirm } from '../../output/confirm'
import { EXIT } from '../../output/failure'
import { printable } from '../../output/printable'
import { count, counted } from '../../../reporting/quantity-text'
import { answersOperators, askServers, unaskable } from '../../../survey/answers'
import { live, type ServerView } from '../../../survey/cluster-view'
import { chooseServer, reachCluster, type AskingCluster } from '../../connect/server-choice'
import { rateUpTo } from '../arguments'
import { asks, pause, type Asking } from '../command-run'

interface Options {
  readonly tolerance: number
  readonly rate: number
  readonly yes?: true
}

/** What has come of one server. */
interface Outcome {
  readonly address: string
  /** What its balance has done; `null` when that is unknown. */
  readonly balanced: Balanced | null
  /** Why it has not balanced, or why that is unknown. */
  readonly error?: string
}

/** The time between two looks at the progress, in ms. */
const LOOK = 500

/** The highest rate that servers take, in sparks a second. */
const FASTEST = 1000

/** How many questions in a row a server may leave unanswered before it is given up. */
const PATIENCE = 3

const OLD =
  'runs an earlier release of metroplex, which cannot be told to balance: let the application call `balance()`'

/** Why a server has ended no more sparks, after its address. */
const STOPS: Readonly<Record<NonNullable<Balanced['stopped']>, string>> = {
  connecting: 'it is not registered yet: try again when it is ready',
  degraded: 'Redis does not answer it: try again when its state is ready',
  draining: 'a server drains: try again when it has left',
  membership: 'a server has just joined or left, or does not beat: try again in a minute',
  returned:
    'most clients came straight back (ESTICKY): a balancer in front sends each client to the server that it had. Let ' +
    'it lead a new connection to any server, or do not balance',
  destroyed: 'it was ended'
}

/** `metroplex balance`: has full servers end the sparks that they have above the mean. */
export const balance = asks<Options>(
  new Command('balance')
    .description('Have servers with more sparks than the mean let the youngest go, so that their clients move.')
    .argument('[servers...]', 'addresses or names of servers; all if none is given')
    .option('-t, --tolerance <share>', 'how far above the mean a server may stay, such as 10% or 0.1', shareOf, 0.1)
    .option('-r, --rate <number>', 'the most sparks that each server ends in a second', rateUpTo(FASTEST), 50)
    .option('-y, --yes', 'do not ask')
    .addHelpText(
      'after',
      `
Each server ends its own balance; this command follows it until then. Ended before, by Ctrl-C, it leaves the servers to
go on. The exit code is 1 when a server has stopped early, or cannot balance.

Example:
  $ metroplex balance --tolerance 5% --rate 100 --yes`
    ),
  async asking => {
    const { session, options, args } = asking
    const cluster = await reachCluster(session)
    const chosen = args.length > 0 ? args.map(given => chooseServer(cluster.view, given)) : live(cluster.view)
    const sparks = chosen.reduce((sum, server) => sum + server.sparks, 0)
    const what = `${counted(chosen.length, 'server')} with ${counted(sparks, 'spark')}`
    await confirm(`Balance ${what}, to ${count(100 * options.tolerance)} % above the mean?`, options.yes)
    const outcomes = await Promise.all(chosen.map(server => balanceOne(asking, cluster, server)))
    const bad = outcomes.some(({ balanced, error }) => error !== undefined || balanced?.stopped !== undefined)
    return { value: { servers: outcomes }, lines: () => outcomes.map(lineOf), ...(bad && { code: EXIT.NOT_SO }) }
  },
  ({ yes }) => {
    mustConfirm('Balancing servers', yes)
  }
)

/** Have one server begin, and follow it to its end. */
async function balanceOne(
  { session, output, options: { tolerance, rate } }: Asking<Options>,
  cluster: AskingCluster,
  server: ServerView
): Promise<Outcome> {
  const { address } = server
  const { timeout } = session.terms
  const why = unaskable(server, cluster.transport)
  if (why !== undefined) return failed(address, `cannot be asked: ${why}`)
  if (!answersOperators(server)) return failed(address, OLD)
  const ask = async (begin: boolean): Promise<{ status?: ServerStatus; error?: string }> => {
    const [answer] = await askServers(cluster, [server], ({ core: { operator } }) =>
      begin ? operator.balance(address, { tolerance, rate }, timeout) : operator.status(address, timeout)
    )
    if (answer?.value !== undefined) return { status: answer.value }
    return { error: answer?.failure?.message ?? `${address} did not answer.` }
  }
  const begun = await ask(true)
  if (begun.status?.balance === undefined) {
    // The refusal of a release that knows the question, and not this word.
    const old = /An operator can ask for 'status', 'health' or 'drain'/.test(begun.error ?? '')
    return old ? failed(address, OLD) : { address, balanced: null, error: begun.error ?? `${address} ${OLD}.` }
  }
  let told = begun.status.stats.sparks
  let { last, active } = begun.status.balance
  for (let unanswered = 0; active;) {
    await pause(LOOK)
    const { status, error } = await ask(false)
    if (status?.balance === undefined) {
      if (++unanswered < PATIENCE) continue
      return { address, balanced: null, error: `${error ?? ''} Its balance may go on.` }
    }
    unanswered = 0
    ;({ last, active } = status.balance)
    if (status.stats.sparks < told) output.note(`${printable(address)}: ${counted(status.stats.sparks, 'spark')}`)
    told = Math.min(told, status.stats.sparks)
  }
  if (last === null) return failed(address, 'was started again, and has forgotten its balance')
  return { address, balanced: last }
}

function failed(address: string, why: string): Outcome {
  return { address, balanced: null, error: `${address} ${why}.` }
}

function lineOf({ address, balanced, error }: Outcome): string {
  if (balanced === null) return printable(error ?? '')
  const { ended, sparks, target, stopped } = balanced
  const fair = target === null ? '' : `, ${count(target)} are fair`
  const done = `${printable(address)} has ended ${counted(ended, 'spark')}: it has ${count(sparks)}${fair}.`
  return stopped === undefined ? done : `${done} It stopped, because ${STOPS[stopped]}.`
}

function shareOf(given: string): number {
  const [, number = '', percent] = /^(\d+(?:\.\d+)?)(%?)$/.exec(given) ?? []
  const share = Number(number) / (percent === '%' ? 100 : 1)
  if (number !== '' && share <= 1) return share
  throw new InvalidArgumentError('It must be a share of the mean, from 0 to 1 or 0% to 100%, such as 10%.')
}
