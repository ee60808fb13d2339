import type { EventsAnswer, WireEvent } from '../wire.js'
import { ask } from './ask.mjs'
import { h, show } from './dom.mjs'
import { eventTable } from './server.mjs'
import type { View } from './links.mjs'

/** So many events are shown. */
const SHOWN = 200

/** What happens, as it happens. */
export function eventsView(root: Element): View {
  let events: readonly WireEvent[] = []
  return {
    title: 'Events',
    every: 2000,
    load: async () => {
      const answer = await ask<EventsAnswer>('events', { after: String(events[0]?.seq ?? 0) })
      events = [...answer.events, ...events].slice(0, SHOWN)
      show(
        root,
        h('h1', {}, 'Events'),
        h('p', { class: 'dim' }, 'What has changed between two looks at the cluster, the newest first.'),
        eventTable(events, true)
      )
      return answer.head
    }
  }
}
