import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { assume } from './assume'
import { using } from './dispose'
import { findRedis } from './redis-binary'
import { rejection } from './rejection'

/** Makes a PATH on which there is nothing but these shell scripts. */
async function systemWith(scripts: Record<string, string>): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'metroplex-path-'))
  const path = process.env['PATH']
  using(async () => {
    process.env['PATH'] = path
    await rm(directory, { recursive: true })
  })
  for (const [name, script] of Object.entries(scripts)) {
    await writeFile(join(directory, name), `#!/bin/sh\ncd ${directory}\n${script}\n`)
    await chmod(join(directory, name), 0o755)
  }
  process.env['PATH'] = directory
  return directory
}

const chmodPath = '/bin/chmod'
const installs =
  `echo "$@" >> calls; if [ "$1" = install ]; then echo > redis-server; ${chmodPath} 755 ` + 'redis-server; fi'
// The tests may run as another user than root.
const sudo = 'shift; exec "$@"'

describe('support: finding a Redis', () => {
  it('takes the redis-server on the PATH and says nothing', async () => {
    const directory = await systemWith({ 'redis-server': '' })
    const said: string[] = []
    assume(await findRedis(line => said.push(line))).equals(join(directory, 'redis-server'))
    assume(said.length).equals(0)
  })

  it('takes a valkey-server as well', async () => {
    const directory = await systemWith({ 'valkey-server': '' })
    assume(await findRedis()).equals(join(directory, 'valkey-server'))
  })

  it('is not taken in by a directory of that name', async () => {
    const directory = await systemWith({})
    await mkdir(join(directory, 'redis-server'))
    assume((await rejection(findRedis())).message).includes('by hand')
  })

  it('installs one, and says what it does before it does so', async () => {
    const directory = await systemWith({ 'apt-get': installs, sudo })
    const said: string[] = []
    assume(await findRedis(line => said.push(line))).equals(join(directory, 'redis-server'))
    assume(await readFile(join(directory, 'calls'), 'utf8')).equals(
      'update\ninstall -y --no-install-recommends redis-server\n'
    )
    assume(said.length).equals(2)
    assume(said[1]).includes('apt-get install')
  })

  it('installs once for all concurrent callers', async () => {
    const directory = await systemWith({ 'apt-get': installs, sudo })
    const quiet = (): void => undefined
    await Promise.all([findRedis(quiet), findRedis(quiet), findRedis(quiet)])
    assume((await readFile(join(directory, 'calls'), 'utf8')).split('\n').filter(Boolean).length).equals(2)
  })

  it('says in one sentence what to do by hand when it cannot', async () => {
    await systemWith({ apk: 'echo no network >&2; exit 7', sudo })
    const { message } = await rejection(findRedis(() => undefined))
    assume(message).includes('no network')
    assume(message).includes('REDIS_URL')
    assume(message.includes('\n')).is.false()
  })

  it('tries again after a failure', async () => {
    const directory = await systemWith({ apk: 'exit 7', sudo })
    await rejection(findRedis(() => undefined))
    await writeFile(join(directory, 'redis-server'), '', { mode: 0o755 })
    assume(await findRedis()).equals(join(directory, 'redis-server'))
  })
})
