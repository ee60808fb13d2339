import { assume } from '../support/assume'
import { nothingIsLeft, run } from './run'

describe('the rolling restart', function () {
  this.timeout(120_000)

  it('loses no message, keeps its rate, and brings all clients back', async () => {
    const example = await run('rolling-restart.js')
    const code = await example.ended
    const text = example.text()
    assume(code).equals(0, text)
    const departures = [...text.matchAll(/server (\d) {2}let (\d+) sparks go, (\d+) in its busiest second/g)].map(
      found => found.slice(1).map(Number)
    )
    assume(departures.map(([server]) => server)).eql([1, 2, 3])
    for (const [, moved, most] of departures) {
      assume(moved).is.above(50)
      assume(most).is.atmost(100)
    }
    assume(text).matches(/checked {3}300 are connected, and the registry knows where each of them is/)
    const [, arrived] = /checked {3}\d+ messages: (\d+) arrived.*; 0 lost, 0 wrong\n/.exec(text) ?? []
    assume(Number(arrived)).is.above(500)
    // Three servers, of which each was started twice, and Redis unless it was there.
    assume(example.pids().length).is.atleast(6)
    await nothingIsLeft(example)
  })

  it('leaves nothing behind when it is ended early', async () => {
    const example = await run('rolling-restart.js')
    await example.said(/server 3 {2}runs as/)
    example.signal('SIGINT')
    assume(await example.ended).equals(1)
    assume(example.text()).includes('ended by SIGINT')
    await nothingIsLeft(example)
  })
})
