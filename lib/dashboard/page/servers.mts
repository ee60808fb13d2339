import type { ServersAnswer, WireHead, WireServer } from '../wire.js'
import { ask } from './ask.mjs'
import { count, counted, h, show, span, sparkline, table, type Child, type Column } from './dom.mjs'
import { differing, serverLink, stateOf, to, type Place, type View } from './links.mjs'

/** The table of all servers. */
export function serversView(root: Element, { query }: Place): View {
  const sort = query.get('sort') ?? 'hurt'
  const reverse = query.get('reverse') === '1'
  const page = query.get('page') ?? '0'
  const link = (text: string, order: string): HTMLElement => {
    const again = order === sort && !reverse
    return h('a', { href: to('servers', '', { sort: order, ...(again && { reverse: '1' }) }) }, text)
  }
  const column = (
    text: string,
    order: string,
    cell: Column<WireServer>['cell'],
    kind?: string
  ): Column<WireServer> => ({
    head: link(text, order),
    cell,
    ...(kind !== undefined && { kind }),
    sorted: order !== sort ? undefined : reverse ? 'ascending' : 'descending'
  })
  const columns = [
    column('Server', 'name', nameOf, 'name'),
    column('State', 'state', row => [stateOf(row), row.error !== '' && h('small', { class: 'wide' }, ' ', row.error)]),
    column('Version', 'version', row => [row.version, differing(row.differs.filter(isVersion))], 'wide nowrap'),
    column('Sparks', 'sparks', row => count(row.sparks), 'num'),
    { head: '', cell: (row: WireServer) => sparkline(row.trend), kind: 'wide' },
    column('Users', 'users', row => count(row.users), 'num wide'),
    column('Queued', 'queued', row => count(row.queued), 'num wide'),
    column('Last beat', 'beat', row => span(row.beat), 'num wide'),
    column('Beat p99', 'p99', row => span(row.p99), 'num wide wider'),
    column('Answer', 'took', row => span(row.took), 'num wide wider')
  ]
  return {
    title: 'Servers',
    every: 2000,
    load: async () => {
      const asked = { sort, page, ...(reverse && { reverse: '1' }) }
      const { head, servers, page: at, pages } = await ask<ServersAnswer>('servers', asked)
      show(
        root,
        h('h1', { class: 'top' }, 'Servers'),
        tiles(head),
        ...head.differences.map(text => h('p', {}, h('span', { class: 'bad' }, 'X '), text)),
        servers.length === 0 ? none(head) : table(columns, servers),
        pages > 1 && pager(at, pages, asked, head.servers)
      )
      return head
    }
  }
}

const isVersion = (what: string): boolean => what === 'version' || what === 'protocol'

function nameOf({ address, name, differs }: WireServer): Child[] {
  const others = differs.filter(what => !isVersion(what))
  return [serverLink(address, name), differing(others), name !== '' && h('small', {}, h('bdi', {}, address))]
}

function tiles({ redis, servers, alive, wrong, sparks, users, queued, trend }: WireHead): HTMLElement {
  const tile = (text: string, number: Child, kind = '', line?: Node): HTMLElement =>
    h('div', { class: 'tile' }, h('b', { class: kind }, number), h('span', {}, text), line)
  const lacking = servers - alive
  return h(
    'div',
    { class: 'tiles' },
    tile(lacking > 0 ? `servers alive, ${count(lacking)} not` : 'servers alive', count(alive)),
    wrong > 0 && tile('in trouble', count(wrong), 'bad'),
    tile('sparks', count(sparks), '', sparkline(trend)),
    tile('sparks with a user', count(users)),
    tile('messages queued', count(queued)),
    tile('answer of Redis', redis.state === 'ok' ? span(redis.took) : 'none', redis.state === 'away' ? 'bad' : '')
  )
}

function none({ namespace, redis }: WireHead): HTMLElement {
  if (redis.state !== 'ok') return h('p', { class: 'dim' }, `Redis is dialled at ${redis.dialled}.`)
  return h('p', {}, `No server is registered in the namespace ${namespace}: start one, or choose another namespace.`)
}

function pager(at: number, pages: number, query: Record<string, string>, servers: number): HTMLElement {
  const turn = (text: string, page: number): HTMLElement =>
    page < 0 || page >= pages
      ? h('button', { disabled: true }, text)
      : h('a', { class: 'button', href: to('servers', '', { ...query, page: String(page) }) }, text)
  return h(
    'div',
    { class: 'bar' },
    turn('Previous', at - 1),
    turn('Next', at + 1),
    h('span', { class: 'dim' }, `page ${count(at + 1)} of ${count(pages)}, ${counted(servers, 'server')}`)
  )
}
