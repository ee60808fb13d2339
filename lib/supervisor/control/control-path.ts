import { lstatSync, mkdirSync } from 'node:fs'
import { tmpdir, userInfo } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { asError, inspectValue } from '../../common/errors'

/** The most bytes of the path of a Unix socket: its field in the system has one more. */
const LONGEST = process.platform === 'linux' ? 107 : 103

/** Unix sockets have users and modes; the pipes of Windows do not. */
export const CONTROLLABLE = process.platform !== 'win32'

/**
 * The directories with the sockets of this user's supervisors that were given no path. A command looks in all, because
 * a service may have another environment than a shell.
 */
export function controlDirectories(): string[] {
  const { XDG_RUNTIME_DIR = '' } = process.env
  const { uid, username } = userInfo()
  const temporary = join(tmpdir(), `metroplex-${uid === -1 ? username : uid}`)
  return XDG_RUNTIME_DIR === '' ? [temporary] : [join(XDG_RUNTIME_DIR, 'metroplex'), temporary]
}

/**
 * The option `control`: the path of a socket, `true` for one in the directory of this user, `false` for none.
 *
 * @throws TypeError or RangeError that says what is allowed
 */
export function controlOf(given: unknown): string | boolean {
  if (given === undefined || given === false) return false
  if (!CONTROLLABLE) throw new TypeError('metroplex: `control` needs Unix sockets, which this system has not: omit it.')
  if (given === true) return true
  if (typeof given !== 'string' || given === '')
    throw new TypeError(
      `metroplex: \`control\` must be the path of a Unix socket, true or false; given: ${inspectValue(given)}.`
    )
  const path = resolve(given)
  checkLength(path)
  return path
}

/** @throws RangeError for a path that is too long for a Unix socket */
export function checkLength(path: string): void {
  const bytes = Buffer.byteLength(path)
  if (bytes > LONGEST)
    throw new RangeError(
      `metroplex: the path of a control socket may have at most ${LONGEST} bytes, and ${path} has ${bytes}: give a ` +
        'shorter one as `control`.'
    )
}

/** Whether a directory belongs to this user, and no other user may enter it. */
export function isPrivate(directory: string): boolean {
  const found = lstatSync(directory, { throwIfNoEntry: false })
  return found?.isDirectory() === true && found.uid === process.getuid?.() && (found.mode & 0o077) === 0
}

/** The directory of this user for a new socket: the first of `controlDirectories` that can be private. */
export function controlDirectory(): string {
  const directories = controlDirectories()
  const found = directories.find(directory => {
    try {
      makePrivate(join(directory, 'any'))
      return true
    } catch {
      return false
    }
  })
  return found ?? directories[0] ?? ''
}

/** Makes the directory of a socket, if it is not there. @throws Error unless only this user can enter it */
export function makePrivate(path: string): void {
  const directory = dirname(path)
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 })
  } catch (error) {
    throw new Error(`the directory ${directory} cannot be made (${asError(error).message}): give another \`control\``, {
      cause: error
    })
  }
  if (!isPrivate(directory))
    throw new Error(
      `the directory ${directory} must belong to this user, and no other user may enter it: change its mode to 700, ` +
        'or give another `control`'
    )
}
