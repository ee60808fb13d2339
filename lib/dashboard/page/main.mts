import type { WireHead } from '../wire.js'
import { logIn, Unanswered } from './ask.mjs'
import { banner, unawaited } from './banner.mjs'
import { clock, foreign, h, show } from './dom.mjs'
import { doctorView } from './doctor.mjs'
import { eventsView } from './events.mjs'
import { findView } from './find.mjs'
import { sendView } from './send.mjs'
import { serverView } from './server.mjs'
import { serversView } from './servers.mjs'
import { textOf } from './actions.mjs'
import { to, type Place, type View } from './links.mjs'

const VIEWS: Readonly<Record<string, ((root: Element, place: Place) => View) | undefined>> = {
  servers: serversView,
  server: serverView,
  find: findView,
  events: eventsView,
  send: sendView,
  doctor: doctorView
}
const NAMES = ['servers', 'find', 'events', 'send', 'doctor']

/** How long a hidden page waits before it asks again, and one that got no answer, in ms. */
const [HIDDEN, RETRY] = [30_000, 3000]

const part = (id: string): HTMLElement => document.getElementById(id) ?? document.body
const root = part('view')

let current = 'servers'
let view: View | undefined
let head: WireHead | undefined
let timer: number | undefined
/** Counts the views, so that a late answer for an earlier one is not shown. */
let turn = 0

function navigate(): void {
  const [, name = 'servers', path = '', query = ''] = /^#\/(\w+)(?:\/([^?]*))?(?:\?(.*))?$/.exec(location.hash) ?? []
  const make = VIEWS[name] ?? serversView
  turn++
  current = VIEWS[name] === undefined ? 'servers' : name
  view = make(root, { path: decoded(path), query: new URLSearchParams(query) })
  document.title = `${view.title} – metroplex`
  root.replaceChildren(h('p', { class: 'dim' }, 'Loading…'))
  if (document.activeElement?.closest('#search') === null) root.focus({ preventScroll: true })
  drawHead()
  unawaited(load())
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

async function load(): Promise<void> {
  clearTimeout(timer)
  const mine = turn
  let wait = view?.every
  try {
    const answered = await view?.load()
    if (mine !== turn) return
    if (answered !== undefined) head = answered
    drawHead()
    drawBanner(head)
    if (head?.redis.state === 'opening') wait = 500
  } catch (error) {
    if (mine !== turn) return
    wait = RETRY
    if (!(error instanceof Unanswered)) throw error
    if (error.status === 401 || error.status === 429) {
      askForToken(error.message)
      return
    }
    banner(error.status === 0 || error.status === 503 ? `${error.message} It is tried again every 3 s.` : error.message)
  } finally {
    if (mine === turn && wait !== undefined && document.querySelector('#token') === null)
      timer = setTimeout(() => unawaited(load()), document.hidden ? Math.max(HIDDEN, wait) : wait)
  }
}

function drawHead(): void {
  const { namespace, environment = '', readOnly = false, wrong = 0, redis } = head ?? {}
  const danger = environment.toLowerCase() === 'production'
  show(
    part('place'),
    h('a', { id: 'brand', href: to('servers') }, 'metroplex'),
    namespace !== undefined && foreign(namespace),
    environment !== '' && h('span', { class: danger ? 'pill production' : 'pill' }, foreign(environment)),
    readOnly && h('span', { class: 'pill' }, 'read-only')
  )
  const bad = redis?.state === 'away' ? '!' : wrong > 0 ? String(wrong) : ''
  show(
    part('nav'),
    ...NAMES.filter(name => name !== 'send' || !readOnly).map(name => {
      const here = name === current || (name === 'servers' && current === 'server')
      return h(
        'a',
        { href: to(name), 'aria-current': here ? 'page' : null },
        name.charAt(0).toUpperCase() + name.slice(1),
        name === 'servers' && bad !== '' && h('span', { class: 'badge', title: 'something is wrong' }, bad)
      )
    })
  )
}

function drawBanner(state: WireHead | undefined): void {
  if (state?.redis.state !== 'away') {
    banner('')
    return
  }
  const { dialled, why } = state.redis
  const since = state.at === 0 ? '' : ` What you see is from ${clock(state.at)}.`
  banner(`Redis at ${dialled} cannot be asked: ${why} It is tried again every 3 s.${since}`)
}

function askForToken(sentence: string): void {
  const input = h('input', {
    id: 'token',
    name: 'token',
    type: 'password',
    autocomplete: 'current-password',
    required: true
  })
  const form = h(
    'form',
    {
      class: 'narrow card',
      onsubmit: event => {
        event.preventDefault()
        logIn(textOf(new FormData(form as HTMLFormElement), 'token'))
        navigate()
      }
    },
    h('h1', {}, 'Log in'),
    h('p', {}, sentence),
    h('label', {}, h('span', {}, 'Token'), input),
    h('div', { class: 'bar' }, h('button', { class: 'primary', type: 'submit' }, 'Log in'))
  )
  root.replaceChildren(form)
  input.focus()
}

addEventListener('hashchange', navigate)
document.addEventListener('visibilitychange', () => {
  if (!document.hidden && view?.every !== undefined && document.querySelector('#token') === null) unawaited(load())
})
document.addEventListener('keydown', event => {
  const { target, key } = event
  const field = part('q') as HTMLInputElement
  const typing = target instanceof Element && target.closest('input, textarea, select') !== null
  if (key === 'Escape' && target === field) field.blur()
  if (key !== '/' || typing || event.ctrlKey || event.metaKey || event.altKey) return
  if (document.querySelector('dialog')?.open === true) return
  event.preventDefault()
  field.focus()
  field.select()
})
part('search').addEventListener('submit', event => {
  event.preventDefault()
  const { value } = part('q') as HTMLInputElement
  if (value.trim() === '') return
  const place = to('find', value.trim())
  if (location.hash === place) unawaited(load())
  else location.hash = place
})
navigate()
