/**
 * What it costs to be scraped: a scrape of a server that forwards as fast as it can, and its share of the CPU if it
 * comes once a second.
 */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Metroplex } from '../index'
import { metricsHandler } from '../lib/metrics'
import { forwardToOne } from './forward'
import { now } from './harness/clock'
import { server } from './harness/server'
import type { Ran } from './harness/window'
import type { Work } from './harness/work'

const FORWARD = require.resolve('./forward')
const CLIENTS = 100
/** As `forward` warms up. */
const COLD = 2

export const metrics: Work = {
  name: 'metrics',
  cast: () => ({ servers: 2, clients: CLIENTS }),

  async *measure(stage, { ms, warm }) {
    const {
      sender,
      receivers: [receiver],
      ids: [, theirs = []]
    } = stage
    const forwards = await stage.row({
      row: 'forwards, 64 in flight',
      operation: 'message',
      delivers: true,
      ms,
      warm: COLD * warm,
      run: ms => sender.run(FORWARD, forwardToOne, { ids: theirs, window: { inFlight: 64, ms } })
    })
    yield forwards
    const port = await sender.run(__filename, listen, undefined)
    // Asked from another process, so that the CPU of a scraper is not counted.
    if (receiver === undefined) throw new Error('There is no other server on stage.')
    const scrapes = await stage.row({
      row: 'scrapes, one after the other',
      operation: 'scrape',
      ms,
      warm,
      run: ms => receiver.run(__filename, scrape, { port, ms })
    })
    const { sender: used = 0 } = scrapes.cpu
    const busy = (forwards.cpu.sender ?? 0) * (forwards.perSecond ?? 0)
    yield { ...scrapes, figures: { 'once a second, % of the CPU of the forwards': (100 * used) / busy } }
  }
}

/** In the server: open a port for the metrics. */
export async function listen(): Promise<number> {
  const http = createServer(metricsHandler(server().metroplex as unknown as Metroplex))
    .listen(0, '127.0.0.1')
    .unref()
  await new Promise(resolve => http.once('listening', resolve))
  return (http.address() as AddressInfo).port
}

/** In another process: scrape for so many milliseconds, one scrape after the other. */
export async function scrape({ port, ms }: { port: number; ms: number }): Promise<Ran> {
  const began = now()
  let operations = 0
  while (now() - began < ms) {
    const answer = await fetch(`http://127.0.0.1:${port}/metrics`)
    await answer.text()
    operations++
  }
  return { operations, failed: 0, began, ended: now() }
}
