import { limit } from '../../lib/cli/commands/judge/alert-range'
import { assume } from '../support/assume'
import { openClient } from '../support/client'
import { createRegistered } from '../support/registered'
import { sharedRedis } from '../support/shared-redis'
import { startServer } from '../support/server'
import { eventually } from '../support/wait'
import { at, metroplex } from './asked'

describe('the command metroplex check', function () {
  this.timeout(60_000)
  const shared = sharedRedis()
  const registry = (): { url: string; namespace: string } => ({ url: shared.redis.url, namespace: shared.space })
  const check = async (...args: string[]): Promise<[code: number | null, text: string]> => {
    const { code, stdout, stderr } = await metroplex(['check', ...args], at(shared.redis.url, shared.space))
    return [code, (stdout + stderr).trimEnd()]
  }

  it('has the exit codes of monitoring systems, and always the number', async () => {
    await createRegistered({ redis: registry() })
    assume(await check('servers')).eql([0, 'OK: servers is 1: live servers that answer'])
    assume(await check('servers', '--warn', '2')).eql([1, 'WARNING: servers is 1 (limit 2:): live servers that answer'])
    assume(await check('servers', '--warn', '3', '--critical', '2')).eql([
      2,
      'CRITICAL: servers is 1 (limit 2:): live servers that answer'
    ])
    assume(await check('servers', '--warn', '2', '--format', 'nagios')).eql([
      1,
      'METROPLEX SERVERS WARNING - 1 (limit 2:), live servers that answer | servers=1;2:;1:;0;'
    ])
    const [code, json] = await check('servers', '--critical', '2', '--format', 'json')
    assume(code).equals(2)
    assume(JSON.parse(json)).eql({
      check: 'servers',
      state: 'critical',
      value: 1,
      unit: '',
      warn: null,
      critical: '2:'
    })
    assume(await check('servers', '--critical', '2', '--json')).eql([code, json])
  })

  it('says unknown, with 3, when Redis cannot be asked; and ends with 3 for a wrong command line', async () => {
    const away = ['--redis', 'redis://127.0.0.1:1', '--timeout', '300ms']
    const [code, text] = await check('servers', ...away)
    assume(code).equals(3)
    assume(text).matches(/^UNKNOWN: Redis could not be reached within 300 ms.* Check --redis\.$/)
    assume((await check('servers', ...away, '--format', 'nagios'))[1]).matches(/^METROPLEX SERVERS UNKNOWN - Redis/)
    assume(JSON.parse((await check('servers', ...away, '--json'))[1])).includes('error')
    for (const [args, sentence] of [
      [['server'], /^There is no measure server: there are .* Did you mean servers\?$/],
      [['servers', '--warn', 'many'], /^--warn must be a number, or a range such as 3: or 2:4; given: many\.$/],
      [['servers', '--format', 'xml'], /Allowed choices are text, json, nagios/],
      [[], /missing required argument/]
    ] as [string[], RegExp][]) {
      const [wrong, explanation] = await check(...args)
      assume([args, wrong]).eql([args, 3])
      assume(explanation).matches(sentence)
    }
  })

  it('measures sparks, mute servers, dead ones, and states', async () => {
    const a = await createRegistered({ redis: registry() })
    const b = await startServer({ redis: registry() })
    await Promise.all([openClient(a.url), openClient(b.url)])
    await eventually(async () => (await a.metroplex.count()) === 2)
    const value = async (...args: string[]): Promise<[number | null, number]> => {
      const [code, text] = await check(...args, '--json')
      return [code, (JSON.parse(text) as { value: number }).value]
    }
    assume(await value('sparks', '--warn', '1')).eql([1, 2])
    assume(await value('sparks', '--warn', '2:4')).eql([0, 2])
    for (const measure of ['mute', 'unready', 'dead', 'differences', 'queued', 'disowned'])
      assume(await value(measure, '--timeout', '10s')).eql([0, 0])
    for (const measure of ['redis', 'beat']) assume((await value(measure))[1]).is.above(0)
    b.pause()
    assume(await value('mute', '--timeout', '1s')).eql([1, 1])
    b.resume()
    a.metroplex.drain({ timeout: 0 }).catch(() => undefined)
    assume(await value('unready', '--timeout', '10s')).eql([1, 1])
  })

  it('reads limits as numbers on the bad side, and as ranges', () => {
    const alerts = (text: string, bad: 'above' | 'below' = 'above'): string =>
      [-1, 0, 2, 3, 4, 5].filter(value => limit(text, bad)?.alerts(value)).join(' ')
    assume(alerts('3')).equals('4 5')
    assume(alerts('3', 'below')).equals('-1 0 2')
    assume(alerts('3:')).equals('-1 0 2')
    assume(alerts(':3')).equals('4 5')
    assume(alerts('~:3')).equals('4 5')
    assume(alerts('2:4')).equals('-1 0 5')
    assume(alerts('@2:4')).equals('2 3 4')
    for (const wrong of ['', ':', 'x', '1:2:3', '4:2', '-', '@3', '1e3'])
      assume([wrong, limit(wrong, 'above')]).eql([wrong, undefined])
  })
})
