import { readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { asError } from '../../common/errors'
import { refuseUnknown } from '../../common/validate'
import { misuse } from '../output/failure'

/** What a configuration file may say: the connection options of all commands. */
export type Configuration = Readonly<Partial<Record<(typeof KNOWN)[number], string>>>

const KNOWN = ['redis', 'namespace', 'secretFile', 'shards', 'timeout'] as const

/**
 * Read the configuration file.
 *
 * @param given its path; without it the file of the user is read, if there is one
 * @throws CommandFailure for a file that cannot be read, or has other contents
 */
export function readConfiguration(given: string | undefined): Configuration {
  const path = given ?? join(process.env['XDG_CONFIG_HOME'] ?? join(homedir(), '.config'), 'metroplex.json')
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    if (given === undefined) return {}
    throw misuse(`The configuration file ${path} cannot be read (${asError(error).message}): give another --config.`)
  }
  return checked(path, text)
}

function checked(path: string, text: string): Configuration {
  const example = '{ "redis": "redis://10.0.0.1:6379", "namespace": "chat" }'
  let read: unknown
  try {
    read = JSON.parse(text)
  } catch (error) {
    throw misuse(`The configuration file ${path} is not JSON (${asError(error).message}): write it like ${example}.`)
  }
  if (typeof read !== 'object' || read === null || Array.isArray(read))
    throw misuse(`The configuration file ${path} must be an object like ${example}.`)
  for (const [key, value] of Object.entries(read)) {
    refuseUnknown(`${path}: `, key, KNOWN)
    if (typeof value !== 'string' && typeof value !== 'number')
      throw misuse(`\`${key}\` in the configuration file ${path} must be a text or a number.`)
  }
  return Object.fromEntries(Object.entries(read).map(([key, value]) => [key, String(value)]))
}
