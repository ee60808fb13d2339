import type { FindAnswer, WireSpark } from '../wire.js'
import { endSparks, type Kind } from './actions.mjs'
import { ask } from './ask.mjs'
import { unawaited } from './banner.mjs'
import { count, counted, facts, foreign, h, show, span, table, type Child } from './dom.mjs'
import { findLink, serverLink, stateOf, to, type Place, type View } from './links.mjs'

/** One spark, user or group: all about it, and what can be done with it. */
export function findView(root: Element, { path: text }: Place): View {
  if (text === '') {
    return {
      title: 'Find',
      load: () => {
        show(
          root,
          h('h1', {}, 'Find'),
          h('p', { class: 'dim' }, 'Give the id of a spark, or the name of a user or a group.')
        )
        document.querySelector<HTMLElement>('#q')?.focus()
        return Promise.resolve(undefined)
      }
    }
  }
  const view: View = {
    title: text,
    every: 5000,
    load: async () => {
      const answer = await ask<FindAnswer>('find', { q: text })
      const { head, servers, spark, user, group, failures } = answer
      const acts = (kind: Kind, sparks: number): HTMLElement | false =>
        !head.readOnly && actions(kind, text, sparks, view)
      const none = servers.length === 0 && spark === null && user === null && group === null
      show(
        root,
        h('h1', {}, foreign(text)),
        none && failures.length === 0 && h('p', {}, 'No spark, user, group or server has this name.'),
        ...failures.map(failure => h('p', { class: 'warn' }, failure)),
        spark !== null && section('Spark', sparkFacts(spark), acts('spark', 1)),
        user !== null && section('User', h('p', {}, counted(user.total, 'spark')), acts('user', user.total)),
        user !== null && sparkTable(user.sparks, user.total, ['age', 'transport']),
        group !== null && section('Group', h('p', {}, counted(group.total, 'spark')), acts('group', group.total)),
        group !== null && sparkTable(group.sparks, group.total, ['user']),
        group !== null && groupServers(group.servers),
        servers.length > 0 && h('h2', {}, 'Servers'),
        servers.length > 0 &&
          table(
            [
              { head: 'Server', cell: ({ address, name }) => serverLink(address, name), kind: 'name' },
              { head: 'State', cell: stateOf },
              { head: 'Sparks', cell: ({ sparks }) => count(sparks), kind: 'num' }
            ],
            servers
          )
      )
      return head
    }
  }
  return view
}

function section(title: string, ...children: Child[]): HTMLElement {
  return h('section', { class: 'card' }, h('h3', {}, title), ...children)
}

function actions(kind: Kind, name: string, sparks: number, view: View): HTMLElement {
  const end = (): void => {
    unawaited(endSparks(kind, name, sparks).then(() => view.load()))
  }
  return h(
    'div',
    { class: 'bar' },
    h('a', { class: 'button', href: to('send', '', { kind, name }) }, 'Send…'),
    h('button', { class: 'danger', onclick: end }, 'End…')
  )
}

function sparkFacts({
  server,
  address,
  alive,
  user,
  groups,
  age,
  transport,
  info
}: NonNullable<FindAnswer['spark']>): HTMLElement {
  const names = (groups ?? []).flatMap((name, i) => [i > 0 && ', ', findLink(name)])
  return facts([
    ['server', serverLink(address, server)],
    ...(alive ? [] : [['its server', 'is not alive: the spark is being removed'] as const]),
    ['user', user === undefined ? '–' : user === null ? 'none' : findLink(user)],
    ['groups', groups === undefined ? '–' : groups.length === 0 ? 'none' : h('span', {}, ...names)],
    ['connected', age === undefined ? '–' : `${span(age)} ago`],
    ['transport', transport === undefined ? '–' : foreign(transport)],
    ['info', info === undefined ? 'none' : h('code', {}, foreign(info))]
  ])
}

function sparkTable(
  sparks: readonly WireSpark[],
  total: number,
  more: readonly ('age' | 'transport' | 'user')[]
): Child {
  if (sparks.length === 0) return false
  const columns = {
    age: { head: 'Connected', cell: ({ age }: WireSpark) => span(age), kind: 'num' },
    transport: { head: 'Transport', cell: ({ transport = '–' }: WireSpark) => foreign(transport), kind: 'wide' },
    user: { head: 'User', cell: ({ user }: WireSpark) => (user ? findLink(user) : '–') }
  }
  return h(
    'div',
    {},
    table(
      [
        { head: 'Spark', cell: ({ spark }) => findLink(spark) },
        ...more.map(key => columns[key]),
        { head: 'Server', cell: ({ address, server }) => serverLink(address, server) }
      ],
      sparks
    ),
    sparks.length < total && h('p', { class: 'dim' }, `${count(sparks.length)} of ${counted(total, 'spark')}.`)
  )
}

function groupServers(servers: NonNullable<FindAnswer['group']>['servers']): HTMLElement {
  return table(
    [
      { head: 'Server', cell: ({ address }) => serverLink(address) },
      { head: 'Sparks in the group', cell: ({ sparks }) => count(sparks), kind: 'num' }
    ],
    servers
  )
}
