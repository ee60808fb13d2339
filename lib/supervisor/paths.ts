import { statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { inspectValue } from '../common/errors'

/**
 * The working directory by the name that it was entered by, symbolic links included, as `pwd` prints it.
 * `process.cwd()` has its links resolved, and names the old release for good when a link such as `current` moves on.
 *
 * @throws Error when the directory has been removed, and the environment has no name that leads to another
 */
export function workingDirectory(): string {
  const {
    env: { PWD = '' }
  } = process
  const named = resolve(PWD) === PWD ? statSync(PWD, { throwIfNoEntry: false }) : undefined
  const here = statSync('.', { throwIfNoEntry: false })
  if (named !== undefined && named.dev === here?.dev && named.ino === here.ino) return PWD
  try {
    return process.cwd()
  } catch (error) {
    if (named?.isDirectory() === true) return PWD
    throw new Error('metroplex: the working directory of this process has been removed: start it in another one.', {
      cause: error
    })
  }
}

/** Whether there is such a directory now. */
export function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true
}

/**
 * The directory that workers start in, with its links unresolved: they are followed anew at each start.
 *
 * @throws TypeError when there is none
 */
export function directoryOf(what: string, given: unknown): string {
  if (given === undefined) return workingDirectory()
  const path = pathOf(`metroplex: \`${what}\` must be the path of a directory`, given, workingDirectory)
  if (isDirectory(path)) return path
  throw new TypeError(`metroplex: \`${what}\` must be the path of a directory; there is none at ${path}.`)
}

/**
 * The file of a program, found as `node` finds the one that it runs. Its links are unresolved: each start follows
 * them anew.
 *
 * @param from where a relative path begins
 * @throws TypeError when there is none
 */
export function programOf(what: string, given: unknown, from: string): string {
  const allowed = `metroplex: \`${what}\` must be the path of a program for Node.js`
  const path = pathOf(allowed, given, () => from)
  try {
    createRequire(path).resolve(path)
    return path
  } catch {
    if (statSync(path, { throwIfNoEntry: false })?.isFile() === true) return path
    throw new TypeError(`${allowed}; there is none at ${path}.`)
  }
}

function pathOf(allowed: string, given: unknown, from: () => string): string {
  if (given instanceof URL || (typeof given === 'string' && given.startsWith('file:'))) return fileURLToPath(given)
  if (typeof given !== 'string' || given === '') throw new TypeError(`${allowed}; given: ${inspectValue(given)}.`)
  return resolve(from(), given)
}
