/** What stands in an element: text is only ever text. */
export type Child = Node | string | number | false | null | undefined

type Props = Record<string, string | number | boolean | null | undefined | ((event: Event) => void)>

/** Names, ids and messages of others may hold characters that are not seen, or that turn the line around. */
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g

/** What `h` may set as a property; `morph` passes them on. */
const HANDLERS = ['onclick', 'onsubmit', 'onchange', 'oninput'] as const

/** An element, with attributes, handlers and children. */
export function h(tag: string, props: Props = {}, ...children: Child[]): HTMLElement {
  const element = document.createElement(tag)
  for (const [name, value] of Object.entries(props)) {
    if (typeof value === 'function') Reflect.set(element, name, value)
    else if (value !== false && value !== null && value !== undefined)
      element.setAttribute(name, value === true ? '' : String(value))
  }
  element.append(...children.filter(isShown).map(child => (child instanceof Node ? child : String(child))))
  return element
}

function isShown(child: Child): child is Node | string | number {
  return child !== false && child !== null && child !== undefined
}

/** Text of others: a name, an id, a message. It keeps to itself, and shows what is not seen. */
export function foreign(text: string): HTMLElement {
  const seen = text.replace(UNSEEN, one => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`)
  return h('bdi', {}, seen)
}

/** Make an element show these children, and keep all that is alike: the focus, a selection, what was typed. */
export function show(parent: Element, ...children: Child[]): void {
  const next = h('div', {}, ...children)
  morphChildren(parent, next)
}

function morph(old: Node, next: Node): void {
  if (old.nodeName !== next.nodeName || (old as Element).id !== (next as Element).id) {
    ;(old as ChildNode).replaceWith(next)
    return
  }
  if (!(old instanceof Element) || !(next instanceof Element)) {
    if (old.nodeValue !== next.nodeValue) old.nodeValue = next.nodeValue
    return
  }
  for (const { name } of [...old.attributes]) if (!next.hasAttribute(name)) old.removeAttribute(name)
  for (const { name, value } of next.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value)
  for (const name of HANDLERS) if (name in next) Reflect.set(old, name, Reflect.get(next, name))
  if (!(old instanceof HTMLTextAreaElement)) morphChildren(old, next)
}

function morphChildren(old: Element, next: Element): void {
  const [before, after] = [[...old.childNodes], [...next.childNodes]]
  for (const [i, child] of after.entries()) {
    const at = before[i]
    if (at === undefined) old.append(child)
    else morph(at, child)
  }
  for (const child of before.slice(after.length)) child.remove()
}

const SVG = 'http://www.w3.org/2000/svg'

/** A line of numbers, the oldest first. */
export function sparkline(numbers: readonly number[]): SVGElement {
  const svg = document.createElementNS(SVG, 'svg')
  svg.setAttribute('class', 'spark')
  svg.setAttribute('viewBox', '0 0 80 20')
  svg.setAttribute('preserveAspectRatio', 'none')
  svg.setAttribute('aria-hidden', 'true')
  if (numbers.length < 2) return svg
  const [least, most] = [Math.min(...numbers), Math.max(...numbers)]
  const points = numbers.map((number, i) => {
    const [x, y] = [
      (i * 80) / (numbers.length - 1),
      most === least ? 10 : 18 - ((number - least) * 16) / (most - least)
    ]
    return `${x.toFixed(1)},${y.toFixed(1)}`
  })
  for (const [name, text] of [
    ['polygon', `0,20 ${points.join(' ')} 80,20`],
    ['polyline', points.join(' ')]
  ] as const) {
    const line = document.createElementNS(SVG, name)
    line.setAttribute('points', text)
    svg.append(line)
  }
  return svg
}

/** A column of a table. */
export interface Column<T> {
  readonly head: Child
  readonly cell: (row: T) => Child | Child[]
  /** `num`: a number; `wide`: not on a phone; `name`: what the row is about. */
  readonly kind?: string
  readonly sorted?: 'ascending' | 'descending' | undefined
}

/** A table of rows. */
export function table<T>(columns: readonly Column<T>[], rows: readonly T[]): HTMLElement {
  const head = columns.map(({ head: text, kind, sorted }) =>
    h('th', { scope: 'col', class: kind, 'aria-sort': sorted }, text)
  )
  const body = rows.map(row =>
    h('tr', {}, ...columns.map(({ cell, kind }) => h('td', { class: kind }, ...[cell(row)].flat())))
  )
  return h('div', { class: 'scroll' }, h('table', {}, h('thead', {}, h('tr', {}, ...head)), h('tbody', {}, ...body)))
}

/** Names and values. */
export function facts(values: readonly (readonly [name: string, value: Child])[]): HTMLElement {
  return h(
    'dl',
    { class: 'facts' },
    ...values.map(([name, value]) => h('div', {}, h('dt', {}, name), h('dd', {}, value)))
  )
}

const GROUPED = new Intl.NumberFormat('en-US')

/** A number with separators; a dash for none. */
export function count(number: number | null | undefined): string {
  return number === null || number === undefined ? '–' : GROUPED.format(number)
}

/** A number and its noun. */
export function counted(number: number, noun: string): string {
  return `${count(number)} ${noun}${number === 1 ? '' : 's'}`
}

/** A length of time. */
export function span(ms: number | null | undefined): string {
  if (ms === null || ms === undefined) return '–'
  if (ms < 10) return `${ms.toFixed(1)} ms`
  if (ms < 1000) return `${Math.round(ms)} ms`
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`
  if (ms < 3_600_000) return `${Math.round(ms / 60_000)} min`
  return ms < 172_800_000 ? `${(ms / 3_600_000).toFixed(1)} h` : `${Math.round(ms / 86_400_000)} d`
}

/** A time of day. */
export function clock(ms: number): string {
  return new Date(ms).toTimeString().slice(0, 8)
}
