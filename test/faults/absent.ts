import type { Result } from '../../index'
import { assume } from '../support/assume'
import { openClient } from '../support/client'
import { counter, each } from './passage'
import type { Row } from './row'

export const absent: readonly Row[] = each((transport): Row => ({
  id: 'F29',
  fault: 'sparks are registered at a server that does not hold them; ids are unknown or given twice',
  promise: 'looked up once more, then named in `missing`; each spark gets the message once',
  measures: [{ what: 'looked up', unit: 'lookups', atMost: 2 }],
  health: [],
  async provoke(ground) {
    const options = { metroplex: { transport } }
    const [a, b] = [await ground.start(options, { omega: false }), await ground.start(options, { omega: false })]
    const client = await openClient(b.url)
    // Listed, without a connection.
    const [ghost = '', ...more] = await ground.crowd(b, 3)
    await ground.settled(a, b)
    const before = await counter(a, 'lookups')
    assume(await a.call('forward.spark', ghost, 'x')).eql({ ok: false, send: 0, missing: [ghost] })
    const lookups = (await counter(a, 'lookups')) - before
    assume(await a.call('forward.spark', 'unknown', 'x')).eql({ ok: false, send: 0, missing: ['unknown'] })
    const { ok, send, missing, failed } = (await a.call(
      'forward.sparks',
      [client.id, ghost, 'unknown', client.id, ...more, 'unknown', ghost],
      'once'
    )) as Result
    assume({ ok, send, missing: [...(missing ?? [])].sort(), failed }).eql({
      ok: true,
      send: 1,
      missing: [ghost, ...more, 'unknown'].sort(),
      failed: undefined
    })
    assume(await a.callback('forward.spark', client.id, 'called back')).eql({ ok: true, send: 1 })
    await client.count(2)
    assume(client.messages).eql(['once', 'called back'])
    ground.unharmed(a, b)
    return [lookups]
  }
}))
