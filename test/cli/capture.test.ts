import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { assume } from '../support/assume'
import { openClient } from '../support/client'
import { createRegistered, type Registered } from '../support/registered'
import { sharedRedis } from '../support/shared-redis'
import { startServer } from '../support/server'
import { eventually } from '../support/wait'
import { at, metroplex, type Answer } from './asked'

/** No Redis is there. */
const NOWHERE = at('redis://127.0.0.1:1', 'nowhere')

describe('captures of the command metroplex', function () {
  this.timeout(60_000)
  const shared = sharedRedis()
  const here = (): NodeJS.ProcessEnv => at(shared.redis.url, shared.space)
  const registry = (): { url: string; namespace: string } => ({ url: shared.redis.url, namespace: shared.space })
  const start = (name: string): Promise<Registered> =>
    createRegistered({ redis: registry(), primus: { metroplex: { name } } })
  const file = (): string => join(shared.redis.directory, `${shared.space}.json`)
  const afterwards = (...args: string[]): Promise<Answer> => metroplex([...args, '--capture', file()], NOWHERE)

  it('report again what doctor has found, without Redis and servers', async () => {
    const server = await start('web-1')
    await openClient(server.url)
    await eventually(async () => (await server.metroplex.count()) === 1)
    const mute = await startServer({ redis: registry(), primus: { metroplex: { name: 'web-2' } } })
    mute.pause()
    const diagnosis = await metroplex(['doctor', '--json', '--save', file(), '--timeout', '1s'], here())
    mute.resume()
    const again = await afterwards('doctor', '--json')
    const { captured, ...found } = again.json() as { captured: string }
    assume([again.code, again.stderr]).eql([1, ''])
    assume(found).eql(diagnosis.json())
    assume(Date.parse(captured)).is.above(Date.now() - 60_000)
    const skipped = await afterwards('doctor', '--skip', 'mute', '--skip', 'health-warnings')
    assume(skipped.stdout).includes(`Captured at ${captured}.`)

    const { code, stdout } = await afterwards('servers', '--expect', '2')
    assume(code).equals(1)
    assume(stdout).matches(new RegExp(`^web-1 +${server.address} +ready `, 'm'))
    assume(stdout).matches(new RegExp(`^web-2 +${mute.address} +mute `, 'm'))
    const checked = await afterwards('check', 'mute', '--critical', '0')
    assume([checked.code, checked.stdout]).eql([
      2,
      'CRITICAL: mute is 1 (limit ~:0): live servers that do not answer\n'
    ])
  })

  it('of another format, or damaged, are refused', async () => {
    await start('web-1')
    await metroplex(['doctor', '--save', file()], here())
    const good = JSON.parse(await readFile(file(), 'utf8')) as Record<string, unknown>
    const unnumbered = { ...good, capture: undefined }
    for (const [contents, sentence] of [
      [
        { ...good, capture: 2, version: '3.0.0' },
        /has the format 2, .* metroplex 3\.0\.0 has written it, and reads it\.$/
      ],
      [unnumbered, /has no format, and metroplex \S+ reads the format 1 alone\./],
      [{ ...good, view: undefined }, /is damaged: write a new one/],
      [{ ...good, statuses: [{ address: 'http://elsewhere' }] }, /is damaged: write a new one/],
      [[], /is no capture: give one that metroplex doctor --save has written\.$/]
    ] as const) {
      await writeFile(file(), JSON.stringify(contents))
      const { code, stderr } = await afterwards('servers')
      assume(code).equals(2)
      assume(stderr.trim()).matches(sentence)
    }
    await writeFile(file(), 'no JSON')
    assume((await afterwards('doctor')).stderr).includes('is no capture')
    assume((await afterwards('check', 'servers')).code).equals(3)
  })

  it('say what they cannot answer', async () => {
    for (const [args, sentence] of [
      [['sparks'], /^A capture has no list of sparks, only their numbers/],
      [['servers', '--watch'], /^--watch has nothing to wait for in a --capture/],
      [['doctor', '--scan', '5'], /^--scan and --save are about the cluster/],
      [['servers'], /^The capture \S+ cannot be read/]
    ] as const) {
      const { code, stderr } = await afterwards(...args)
      assume([args, code]).eql([args, 2])
      assume(stderr).matches(sentence)
    }
  })
})
