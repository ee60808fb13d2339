import type { ServerAnswer, SparksAnswer, WireEvent, WireServer, WireSpark } from '../wire.js'
import { drainServer } from './actions.mjs'
import { ask } from './ask.mjs'
import { unawaited } from './banner.mjs'
import { clock, count, facts, foreign, h, show, span, sparkline, table, type Child } from './dom.mjs'
import { differing, findLink, stateOf, to, type Place, type View } from './links.mjs'

/** Figures that are lengths of time, in ms. */
const TIMES = ['uptime', 'since']

/** One server: how it is, its options, its numbers, its events, its sparks. */
export function serverView(root: Element, { path: address }: Place): View {
  const sparks: WireSpark[] = []
  let next: string | null = null
  let listed = false
  const view: View = {
    title: address,
    every: 2000,
    load: async () => {
      const answer = await ask<ServerAnswer>('server', { address })
      const { head, server } = answer
      show(root, ...(server === null ? gone(address, answer.events) : shown(answer, server, head.readOnly)))
      return head
    }
  }
  const more = async (): Promise<void> => {
    const page = await ask<SparksAnswer>('sparks', { address, ...(next !== null && { from: next }) })
    sparks.push(...page.sparks)
    next = page.next
    listed = true
    await view.load()
  }
  const shown = (answer: ServerAnswer, server: WireServer, readOnly: boolean): Child[] => {
    const { health, options, figures, latencies, events, drainable } = answer
    const { name, differs, error } = server
    return [
      h('h1', {}, foreign(name || address), differing(differs)),
      h('p', { class: 'dim' }, foreign(address)),
      h(
        'div',
        { class: 'bar' },
        stateOf(server),
        drainable &&
          !readOnly &&
          h(
            'button',
            { class: 'danger', onclick: () => unawaited(drainServer(address, name, server.sparks)) },
            'Drain…'
          )
      ),
      error !== '' && h('p', { class: 'bad' }, error),
      differs.length > 0 && h('p', { class: 'warn' }, `It differs from most servers in: ${differs.join(', ')}.`),
      ...(health?.reasons ?? []).map(text => h('p', { class: 'bad' }, text)),
      ...(health?.warnings ?? []).map(text => h('p', { class: 'warn' }, text)),
      h(
        'div',
        { class: 'tiles' },
        h('div', { class: 'tile' }, h('b', {}, count(server.sparks)), h('span', {}, 'sparks'), sparkline(server.trend)),
        h('div', { class: 'tile' }, h('b', {}, count(server.users)), h('span', {}, 'sparks with a user')),
        h('div', { class: 'tile' }, h('b', {}, span(server.beat)), h('span', {}, 'since its last beat')),
        h('div', { class: 'tile' }, h('b', {}, span(server.took)), h('span', {}, 'for its answer'))
      ),
      h('h2', {}, 'Options'),
      facts([['version', server.version], ...Object.entries(options)]),
      Object.keys(figures).length > 0 && h('h2', {}, 'Figures'),
      facts(
        Object.entries(figures).map(([key, value]) => [words(key), TIMES.includes(key) ? span(value) : count(value)])
      ),
      Object.keys(latencies).length > 0 && h('h2', {}, 'Latencies'),
      Object.keys(latencies).length > 0 &&
        table(
          [
            { head: 'Operation', cell: ([operation]) => operation },
            { head: 'Times', cell: ([, { count: times }]) => count(times), kind: 'num' },
            { head: 'p50', cell: ([, { count: times, p50 }]) => span(times === 0 ? null : p50), kind: 'num' },
            { head: 'p99', cell: ([, { count: times, p99 }]) => span(times === 0 ? null : p99), kind: 'num' }
          ],
          Object.entries(latencies)
        ),
      h('h2', {}, 'Events'),
      eventTable(events, false),
      h('h2', {}, 'Sparks'),
      listed && sparks.length === 0 && h('p', { class: 'dim' }, 'It has none.'),
      sparks.length > 0 && table([{ head: 'Spark', cell: ({ spark }) => findLink(spark) }], sparks),
      (!listed || next !== null) &&
        h('div', { class: 'bar' }, h('button', { onclick: () => unawaited(more()) }, listed ? 'More' : 'List sparks'))
    ]
  }
  return view
}

function gone(address: string, events: readonly WireEvent[]): Child[] {
  return [
    h('h1', {}, foreign(address)),
    h('p', {}, 'No server is registered at this address any more. ', h('a', { href: to('servers') }, 'All servers')),
    h('h2', {}, 'Events'),
    eventTable(events, false)
  ]
}

/** `queuedBytes` as `queued bytes`. */
function words(key: string): string {
  return key.replace(/[A-Z]/g, letter => ` ${letter.toLowerCase()}`)
}

/** Events, the newest first. @param servers whether they are of several servers */
export function eventTable(events: readonly WireEvent[], servers: boolean): HTMLElement {
  if (events.length === 0) return h('p', { class: 'dim' }, 'Nothing has happened since this page was opened.')
  return table(
    [
      { head: 'Time', cell: ({ at }) => clock(at), kind: 'num' },
      { head: 'Event', cell: ({ event }) => event },
      ...(servers ? [{ head: 'Server', cell: serverOf }] : []),
      {
        head: 'Details',
        cell: ({ detail }: WireEvent) =>
          foreign(
            Object.entries(detail)
              .map(([key, value]) => `${key} ${value}`)
              .join(', ')
          )
      }
    ],
    events
  )
}

function serverOf({ address, name }: WireEvent): Child {
  return address === '' ? 'Redis' : h('a', { href: to('server', address) }, foreign(name || address))
}
