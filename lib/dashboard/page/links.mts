import type { WireHead } from '../wire.js'
import { foreign, h, type Child } from './dom.mjs'

/** One view of the page. */
export interface View {
  readonly title: string
  /** How often it is loaded again, in ms; `undefined`: only once. */
  readonly every?: number
  /** Ask for what it shows, and show it. Returns the head of the page, if it has asked. */
  load(): Promise<WireHead | undefined>
}

/** What comes behind the name of a view in the address of the page. */
export interface Place {
  readonly path: string
  readonly query: URLSearchParams
}

/** The address of a view, with a name or an id in it. */
export function to(view: string, name = '', query: Record<string, string> = {}): string {
  const path = name === '' ? `#/${view}` : `#/${view}/${encodeURIComponent(name)}`
  const text = new URLSearchParams(query).toString()
  return text === '' ? path : `${path}?${text}`
}

/** A server as a link. */
export function serverLink(address: string, name = ''): HTMLElement {
  return h('a', { href: to('server', address) }, foreign(name === '' ? address : name))
}

/** A spark, user or group as a link. */
export function findLink(name: string): HTMLElement {
  return h('a', { href: to('find', name) }, foreign(name))
}

/** The state of a server. */
export function stateOf({ state, hurt }: { readonly state: string; readonly hurt: number }): HTMLElement {
  return h('span', { class: `state h${hurt}` }, state)
}

/** A red X with what differs. */
export function differing(what: readonly string[]): Child {
  return what.length > 0 && h('abbr', { class: 'x', title: `differs from most servers: ${what.join(', ')}` }, 'X')
}
