import { readFileSync } from 'node:fs'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Command, InvalidArgumentError, Option } from 'commander'
import { ignore } from '../../../common/callback'
import { asError } from '../../../common/errors'
import { dashboard, type Dashboard } from '../../../dashboard/dashboard'
import type { DashboardOptions } from '../../../dashboard/options'
import { isLoopback } from '../../../dashboard/guard/request-guard'
import { termsOf, withConnection, type ConnectionTerms } from '../../connect/connection-options'
import { openRedis } from '../../connect/redis-url'
import { misuse } from '../../output/failure'
import { Output } from '../../output/output'
import { printable } from '../../output/printable'
import { pause, userEnds } from '../command-run'
import { severalTexts } from '../arguments'

interface Options {
  readonly port: number
  readonly host: string
  readonly tokenFile?: string
  readonly allowHost?: readonly string[]
  readonly environment?: string
  readonly readOnly?: true
}

/** `metroplex dashboard`: serves the page with which people see and operate a cluster. */
export const dashboardCommand = withConnection(
  new Command('dashboard')
    .description('Serve a page that shows the cluster, and operates it: servers, find, events, send, doctor.')
    .option('-p, --port <number>', 'the port; 0: one that the system chooses', portOf, 8090)
    .option('--host <address>', 'the address to listen on; one of other machines needs a token', '127.0.0.1')
    .addOption(
      new Option(
        '--token-file <path>',
        'a file with the token that users of the page give; METROPLEX_DASHBOARD_TOKEN has the token itself'
      ).env('METROPLEX_DASHBOARD_TOKEN_FILE')
    )
    .option('--allow-host <name>', 'a name under which browsers reach the page; may be repeated', severalTexts)
    .addOption(
      new Option('--environment <name>', 'the name of the environment, which the page shows; production is red').env(
        'METROPLEX_ENVIRONMENT'
      )
    )
    .option('--read-only', 'only show: send nothing, end nothing, drain nothing')
    .addHelpText(
      'after',
      `
Access to this page is access to the cluster. It starts while Redis is away, too, and says what it has dialled.

Examples:
  $ metroplex dashboard --redis redis://10.0.0.1:6379 --namespace chat --environment production
  $ metroplex dashboard --host 0.0.0.0 --token-file token --allow-host admin.example.com`
    )
).action(async () => {
  const terms = termsOf(dashboardCommand)
  const options = dashboardCommand.opts<Options>()
  const redis = openRedis(terms.redis, terms.source)
  // The page says what fails.
  redis.on('error', ignore)
  console.warn = ignore
  try {
    const page = dashboard(pageOptions(redis, terms, options))
    await served(page, options, terms)
  } finally {
    redis.disconnect()
  }
})

function pageOptions(
  redis: DashboardOptions['redis'],
  { namespace, secret, shards, timeout }: ConnectionTerms,
  { host, tokenFile, allowHost = [], environment, readOnly }: Options
): DashboardOptions {
  const token = tokenOf(tokenFile)
  if (token === undefined && !isLoopback(host === 'localhost' ? '127.0.0.1' : host))
    throw misuse(
      `Other machines reach ${printable(host)}, and access to this page is access to the cluster: give --token-file ` +
        'or METROPLEX_DASHBOARD_TOKEN.'
    )
  return {
    redis,
    namespace,
    metroplex: { timeout, ...(secret !== undefined && { secret }), ...(shards !== undefined && { shards }) },
    hosts: allowHost,
    readOnly: readOnly === true,
    ...(token !== undefined && { token }),
    ...(environment !== undefined && { environment })
  }
}

/** Serve the page until the user ends the command. */
async function served(page: Dashboard, { host, port }: Options, { json }: ConnectionTerms): Promise<void> {
  const server = createServer(page)
  const ended = userEnds()
  try {
    server.listen(port, host)
    await once(server, 'listening')
  } catch (error) {
    const sentence = printable(asError(error).message)
    throw misuse(`The page cannot listen on ${printable(host)}:${port} (${sentence}): give another --port or --host.`)
  }
  const { address, family, port: bound } = server.address() as AddressInfo
  const url = `http://${family === 'IPv6' ? `[${address}]` : address}:${bound}/`
  new Output(json).report({ url }, () => [`The page is at ${url}`, 'Ctrl-C ends it.'])
  while (!ended.aborted) await pause(60_000, ended)
  server.close()
  server.closeAllConnections()
  await page.close()
}

function tokenOf(file: string | undefined): string | undefined {
  if (file === undefined) return process.env['METROPLEX_DASHBOARD_TOKEN'] || undefined
  try {
    return readFileSync(file, 'utf8').trim()
  } catch (error) {
    throw misuse(
      `The token file ${printable(file)} cannot be read (${asError(error).message}): give another --token-file.`
    )
  }
}

function portOf(given: string): number {
  if (/^\d{1,5}$/.test(given) && Number(given) <= 65_535) return Number(given)
  throw new InvalidArgumentError('It must be a port: a whole number from 0 to 65535.')
}
