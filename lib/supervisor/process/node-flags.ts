import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'

/** Flags that say what the process of the supervisor runs, and how often. A worker has its own program. */
const OWN = [
  /^(?:-e|-p|-pe|--eval|--print|-c|--check|-i|--interactive|--input-type|--(?:experimental-)?entry-url)$/,
  /^(?:--run|--build-snapshot(?:-config)?|--snapshot-blob|--watch|--watch-.+)$/,
  /^(?:--test|--test-.+|--experimental-test-(?:coverage|isolation))$/
]

/** Flags that wait for a debugger before the program runs. A worker that waits would be killed after `boot`. */
const WAITS = /^--inspect-(?:brk|wait)$/

/** Flags whose value names a module: a path only when it begins with a dot. */
const MODULE = /^(?:-r|--require)$/
const URLS = /^(?:--import|--loader|--experimental-loader)$/

/** Flags whose value is the path of a file or folder. */
const FILES = new RegExp(
  `^--(?:${[
    'env-file(?:-if-exists)?|openssl-config|icu-data-dir|experimental-config-file|redirect-warnings',
    'cpu-prof-dir|heap-prof-dir|diagnostic-dir|report-dir(?:ectory)?|tls-keylog'
  ].join('|')})$`
)

/**
 * The flags of the supervisor's Node.js that its workers get.
 *
 * Flags that name a program, such as `-e`, or belong to a watcher or a test runner, are left out: each worker would
 * run that instead of its own program. Relative paths are made absolute, because a worker may have another working
 * directory.
 *
 * @param from the working directory of the supervisor
 */
export function flagsOf(given: readonly string[], from: string): string[] {
  const flags: string[] = []
  for (let at = 0; at < given.length; at++) {
    const [flag, value, inline] = split(given, at)
    if (value !== undefined && !inline) at++
    if (OWN.some(flags => flags.test(flag))) continue
    const name = WAITS.test(flag) ? '--inspect' : flag
    if (value === undefined) flags.push(name)
    else if (inline) flags.push(`${name}=${absolute(flag, value, from)}`)
    else flags.push(name, absolute(flag, value, from))
  }
  return flags
}

/**
 * NODE_OPTIONS of the supervisor as its workers get it: no worker waits for a debugger. It cannot name a program, and
 * its relative paths begin at the working directory of the worker.
 */
export function nodeOptionsOf(given: string): string {
  return given.replaceAll(/(?<=^|[\s"])--inspect[-_](?:brk|wait)(?=$|[\s"=])/g, '--inspect')
}

/** A flag, its value, and whether both are one argument. An argument without a leading dash is a value. */
function split(given: readonly string[], at: number): [flag: string, value: string | undefined, inline: boolean] {
  const [argument = '', next] = [given[at], given[at + 1]]
  const equals = argument.indexOf('=')
  if (argument.startsWith('--') && equals !== -1)
    return [dashed(argument.slice(0, equals)), argument.slice(equals + 1), true]
  return [dashed(argument), next?.startsWith('-') === false ? next : undefined, false]
}

/** The name of a flag with dashes, in place of which Node.js takes underscores as well. */
function dashed(flag: string): string {
  return flag.startsWith('--') ? flag.replaceAll('_', '-') : flag
}

function absolute(flag: string, value: string, from: string): string {
  const relative = /^\.{1,2}(?:[/\\]|$)/.test(value)
  if (FILES.test(flag) || (MODULE.test(flag) && relative)) return resolve(from, value)
  return URLS.test(flag) && relative ? pathToFileURL(resolve(from, value)).href : value
}
