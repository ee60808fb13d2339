import { readFileSync } from 'node:fs'
import { InvalidArgumentError, Option, type Command } from 'commander'
import { asError } from '../../common/errors'
import type { SurveyTerms } from '../../survey/operator-session'
import { duration } from '../output/duration-argument'
import { misuse } from '../output/failure'
import { readConfiguration } from './config-file'
import { REDIS_FORMS } from './redis-url'

/** Where the cluster is, and how to ask it. */
export interface ConnectionTerms extends SurveyTerms {
  readonly redis: string
  /** Where `redis` was given. */
  readonly source: string
  /** What to check when Redis does not answer, in a sentence. */
  readonly advice: string
  readonly json: boolean
}

/** How long to wait for a server that does not answer. */
const TIMEOUT = '2s'

/** Add the options that all commands for a cluster have. */
export function withConnection(command: Command): Command {
  const group = 'Connection:'
  const options = [
    new Option('--redis <url>', `where Redis is: ${REDIS_FORMS}`).env('REDIS_URL'),
    new Option('--namespace <name>', 'the option namespace of the servers; metroplex by default').env(
      'METROPLEX_NAMESPACE'
    ),
    new Option(
      '--secret-file <path>',
      'a file with the option secret of the servers; METROPLEX_SECRET has the secret itself. Not needed if the ' +
        'servers have none'
    ).env('METROPLEX_SECRET_FILE'),
    new Option('--shards <number>', 'the option shards of the servers; read from Redis if it is not given')
      .env('METROPLEX_SHARDS')
      .argParser(shardsOf),
    new Option('--timeout <time>', `how long to wait for Redis, and for each server; ${TIMEOUT} by default`)
      .env('METROPLEX_TIMEOUT')
      .argParser(duration),
    new Option('--config <path>', 'a file with these options in JSON; ~/.config/metroplex.json by default').env(
      'METROPLEX_CONFIG'
    )
  ]
  command.addOption(new Option('--json', 'answer with one line of JSON'))
  for (const option of options) command.addOption(option.helpGroup(group))
  return command.exitOverride()
}

/** The terms of a command line: its options, then the environment, then the configuration file. */
export function termsOf(command: Command): ConnectionTerms {
  const given = command.opts<{
    redis?: string
    namespace?: string
    secretFile?: string
    shards?: number
    timeout?: number
    config?: string
    json?: boolean
  }>()
  const file = readConfiguration(given.config)
  const redis = given.redis ?? file.redis
  const source =
    given.redis === undefined
      ? '`redis` in the configuration file'
      : command.getOptionValueSource('redis') === 'env'
        ? 'REDIS_URL'
        : '--redis'
  const secretFile = given.secretFile ?? file.secretFile
  return {
    redis: redis ?? 'redis://127.0.0.1:6379',
    source,
    advice:
      redis === undefined
        ? 'Give --redis or REDIS_URL: without them, Redis is expected on this machine.'
        : `Check ${source}.`,
    namespace: given.namespace ?? file.namespace ?? 'metroplex',
    secret: secretFile === undefined ? undefined : secretIn(secretFile),
    shards: given.shards ?? parsed('shards', file.shards, shardsOf),
    timeout: given.timeout ?? parsed('timeout', file.timeout ?? TIMEOUT, duration) ?? 0,
    json: given.json === true
  }
}

function secretIn(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch (error) {
    throw misuse(`The secret file ${path} cannot be read (${asError(error).message}): give another --secret-file.`)
  }
}

function shardsOf(given: string): number {
  if (/^[1-9]\d{0,2}$/.test(given) && Number(given) <= 256) return Number(given)
  throw new InvalidArgumentError('It must be a whole number from 1 to 256.')
}

/** Read a value of the configuration file as that of an option. */
function parsed<T>(key: string, text: string | undefined, parse: (text: string) => T): T | undefined {
  if (text === undefined) return undefined
  try {
    return parse(text)
  } catch (error) {
    throw misuse(`\`${key}\` in the configuration file is wrong. ${asError(error).message}`)
  }
}
