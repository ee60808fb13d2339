import { Command } from 'commander'
import type { ClusterError } from '../../../common/errors'
import { asError } from '../../../common/errors'
import type { Called } from '../../../common/types'
import { EXIT } from '../../output/failure'
import { json, printable } from '../../output/printable'
import { byAddress } from '../../../survey/cluster-view'
import { chooseAskable, reachCluster, type AskingCluster } from '../../connect/server-choice'
import { asks } from '../command-run'
import { jsonValue, severalTexts } from '../arguments'

interface Options {
  readonly spark?: string
  readonly server?: readonly string[]
  readonly text?: true
}

/** `metroplex call`: calls a method that the application has registered on servers. */
export const call = asks<Options>(
  new Command('call')
    .description('Call a method that the application has registered, on all servers.')
    .argument('<method>', 'its name')
    .argument('[args...]', 'its arguments, each in JSON; see --text')
    .option('-s, --server <server>', 'only on this server, by address or name; may be repeated', severalTexts)
    .option('--spark <id>', 'only on the server of this spark, which the method is given')
    .option('-t, --text', 'the arguments are text, and not JSON')
    .addHelpText(
      'after',
      `
The exit code is 1 when a server has failed. --timeout is how long to wait for the answers.

Examples:
  $ metroplex call load
  $ metroplex call setLimit '{"perSecond":5}' --timeout 30s
  $ metroplex call add -- 3 -4`
    ),
  async ({ session, options, args: [method = '', ...given] }) => {
    const args = argumentsOf(given, options)
    const cluster = await reachCluster(session)
    const answers = await called(cluster, method, args, options, session.terms.timeout)
    const wrong = answers.length === 0 || answers.some(({ ok }) => !ok)
    return {
      value: answers.map(({ address, ok, value, error }) =>
        ok
          ? { address, ok, value: value ?? null }
          : { address, ok, error: { code: error.code, message: error.message } }
      ),
      lines: () =>
        answers.map(({ address, ok, value, error }) => {
          const text = ok ? json(value ?? null) : failed(error)
          return address === '' ? text : `${printable(address)}  ${text}`
        }),
      ...(wrong && { code: EXIT.NOT_SO })
    }
  },
  (options, [, ...given]) => {
    argumentsOf(given, options)
  }
)

function argumentsOf(given: readonly string[], { text }: Options): unknown[] {
  return text ? [...given] : given.map((one, i) => jsonValue(one, `Argument ${i + 1}`))
}

async function called(
  cluster: AskingCluster,
  method: string,
  args: readonly unknown[],
  { spark, server }: Options,
  timeout: number
): Promise<Called[]> {
  const { client } = cluster
  if (spark === undefined) {
    const to = server?.map(given => chooseAskable(cluster, given).address)
    const answers = await client.call(method, args, { timeout, ...(to !== undefined && { to }) })
    return answers.sort((a, b) => byAddress(a.address, b.address))
  }
  try {
    return [{ address: '', ok: true, value: await client.apply(spark, method, args, { timeout }) }]
  } catch (error) {
    return [{ address: '', ok: false, error: asError(error) as ClusterError }]
  }
}

function failed({ code, message }: ClusterError): string {
  return printable(`${code}: ${message}`)
}
