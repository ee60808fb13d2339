/** What nothing but the bench needs: packages with a lock file of their own, in bench/node_modules. */
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'

/** The sources, not what is compiled of them. */
const home = join(__dirname, '..', '..', '..', 'bench')

/** `require` for those packages; every use states what it expects. */
export const loadPeer = createRequire(join(home, 'package.json'))

/** Whether they are there. */
export function installed(): boolean {
  return existsSync(join(home, 'node_modules', '.package-lock.json'))
}

/**
 * Installs them, unless they are there.
 *
 * @param say Told in one line what is done and why, before it is done.
 * @throws Error with what npm said, when it fails.
 */
export function install(say: (line: string) => void): void {
  if (installed()) return
  const args = ['ci', '--prefix', home, '--no-audit', '--no-fund']
  say(`What is measured beside this project is missing: npm ${args.join(' ')}`)
  execFileSync('npm', args, { stdio: ['ignore', 'ignore', 'inherit'] })
}
