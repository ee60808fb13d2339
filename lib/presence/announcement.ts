import type { PresenceEnded, WatchHandlers } from '../common/types'

/** An announcement of the registry: which event is told, and of which user or group. */
export interface Announcement {
  readonly event: keyof WatchHandlers
  readonly name: string
  /** `since` is only there for an end. */
  readonly details: Pick<PresenceEnded, 'at'> & Partial<PresenceEnded>
}

const ANNOUNCEMENT = /^([+-])(\d+) (?:(\d+) )?([ug])(.*)$/s

const EVENTS: Readonly<Record<string, keyof WatchHandlers>> = {
  '+u': 'online',
  '-u': 'offline',
  '+g': 'occupied',
  '-g': 'vacated'
}

/** Reads an announcement; `undefined` for one of another version. */
export function readAnnouncement(text: string): Announcement | undefined {
  const [, sign = '', at, since, kind = '', name = ''] = ANNOUNCEMENT.exec(text) ?? []
  const event = EVENTS[sign + kind]
  if (event === undefined) return undefined
  return { event, name, details: since === undefined ? { at: Number(at) } : { at: Number(at), since: Number(since) } }
}
