import { ignore } from '../../common/callback'
import { groupOf, idOf, userOf } from '../../common/names'
import type { SparkDescription } from '../../common/types'
import { answersOperators, askingClient } from '../../survey/answers'
import { findGroup, findSpark, findUser, groupSparks } from '../../survey/find'
import { diagnose } from '../../survey/findings/diagnosis'
import { examine } from '../../survey/findings/examination'
import { FIRST_PLACE, listSparks, readPlace } from '../../survey/spark-pages'
import { numberIn, textIn, type ApiRequest, type ApiRoute } from './api-request'
import type { ClusterWatch } from '../watch/cluster-watch'
import { pageHead } from './page-head'
import type { DashboardSettings } from '../options'
import { PageRefusal, sentenceOfError } from '../refusal'
import { detailsOf } from './server-details'
import { COMPARE, type ServerRow } from '../watch/server-rows'
import type * as wire from '../wire'

/** Servers on a page of the table, and sparks on one of a list. */
const [SERVERS, SPARKS] = [50, 50]
/** The events of one server that are shown with it. */
const EVENTS = 20
/** The servers whose names or addresses contain what is sought, of which so many are listed. */
const NAMED = 10
/** The sparks that the doctor looks at for those without a server. */
const SCAN = 20_000
/** How long an examination is shown again, in ms. */
const EXAMINED = 10_000

/** Answers the questions of the page that change nothing. */
export class PageLooks {
  readonly routes: Readonly<Record<string, ApiRoute>> = {
    'GET servers': request => this.#servers(request),
    'GET server': request => this.#server(request),
    'GET sparks': request => this.#sparks(request),
    'GET find': request => this.#find(request),
    'GET events': request => this.#events(request),
    'GET doctor': () => this.#doctor()
  }
  #examined: { readonly at: number; readonly answer: Promise<Omit<wire.DoctorAnswer, 'head'>> } | undefined

  constructor(
    private readonly watch: ClusterWatch,
    private readonly settings: DashboardSettings
  ) {}

  async #servers(request: ApiRequest): Promise<wire.ServersAnswer> {
    const order = request.query.get('sort') ?? 'hurt'
    if (!Object.hasOwn(COMPARE, order)) {
      const orders = Object.keys(COMPARE).join(', ')
      throw new PageRefusal(400, `The servers cannot be sorted by ${order}: sort them by one of ${orders}.`)
    }
    const wanted = numberIn(request, 'page')
    await this.watch.attend()
    const sorted = [...(this.watch.snapshot?.rows ?? [])]
    if (order !== 'hurt') sorted.sort(COMPARE[order as keyof typeof COMPARE])
    if (request.query.get('reverse') === '1') sorted.reverse()
    const pages = Math.max(1, Math.ceil(sorted.length / SERVERS))
    const page = Math.min(wanted, pages - 1)
    const rows = sorted.slice(page * SERVERS, (page + 1) * SERVERS)
    this.watch.show(rows.map(({ address }) => address))
    return { head: this.#head(), servers: rows.map(row => this.#row(row)), page, pages }
  }

  async #server(request: ApiRequest): Promise<wire.ServerAnswer> {
    const address = textIn(request, 'address')
    this.watch.show([address])
    await this.watch.attend()
    const { rows = [], view } = this.watch.snapshot ?? {}
    const row = rows.find(one => one.address === address)
    const server = view?.servers.find(one => one.address === address)
    const status = this.watch.status(address)?.value
    return {
      head: this.#head(),
      server: row === undefined ? null : this.#row(row),
      health: status === undefined ? null : await this.#health(address),
      ...detailsOf(server, status),
      events: this.watch.events.after(0, address).slice(0, EVENTS),
      drainable: server !== undefined && server.registered === 'up' && answersOperators(server)
    }
  }

  async #health(address: string): Promise<wire.ServerAnswer['health']> {
    const { session, view } = this.watch.reach()
    const { client } = (await askingClient(session, view).catch(ignore)) ?? {}
    // Its state says that it does not answer.
    const health = await client?.core.operator.health(address, session.terms.timeout).catch(ignore)
    return health ? { reasons: health.reasons, warnings: health.warnings } : null
  }

  async #sparks(request: ApiRequest): Promise<wire.SparksAnswer> {
    const address = textIn(request, 'address')
    const from = request.query.get('from')
    const place = from === null ? FIRST_PLACE : readPlace(from)
    if (place === undefined) throw new PageRefusal(400, `from must be a place that another list has named.`)
    await this.watch.attend()
    const { sparks, next } = await listSparks(this.watch.reach().session, address, place, SPARKS)
    return { head: this.#head(), sparks, next }
  }

  async #find(request: ApiRequest): Promise<wire.FindAnswer> {
    const text = textIn(request, 'q')
    await this.watch.attend()
    const { session, view } = this.watch.reach()
    const failures: string[] = []
    const sought = async <T>(find: () => Promise<T | null>): Promise<T | null> => {
      try {
        return await find()
      } catch (error) {
        failures.push(sentenceOfError(error))
        return null
      }
    }
    const failed = (failure: string | undefined): void => {
      if (failure !== undefined) failures.push(failure)
    }
    const [spark, user, group] = await Promise.all([
      sought(async () => {
        const { address, alive, described, failure } = await findSpark(session, view, idOf(text))
        failed(failure)
        return address === null ? null : { ...sparkOf({ spark: text, address, ...described }), alive }
      }),
      sought(async () => {
        const { total, sparks, failure } = await findUser(session, view, userOf(text), SPARKS)
        failed(failure)
        return total === 0 ? null : { total, sparks: sparks.map(sparkOf) }
      }),
      sought(async () => {
        const { total, servers } = await findGroup(session, view, groupOf(text))
        if (total === 0) return null
        const { sparks, failure } = await groupSparks(session, view, text, SPARKS)
        failed(failure)
        return { total, servers: servers.slice(0, SPARKS), sparks: sparks.map(sparkOf) }
      })
    ])
    const part = text.toLowerCase()
    const servers = (this.watch.snapshot?.rows ?? []).filter(
      ({ name, address }) => name.toLowerCase().includes(part) || address.toLowerCase().includes(part)
    )
    const found = servers.slice(0, NAMED).map(row => this.#row(row))
    return { head: this.#head(), servers: found, spark, user, group, failures: [...new Set(failures)] }
  }

  async #events(request: ApiRequest): Promise<wire.EventsAnswer> {
    const after = numberIn(request, 'after')
    await this.watch.attend()
    return { head: this.#head(), events: this.watch.events.after(after) }
  }

  async #doctor(): Promise<wire.DoctorAnswer> {
    await this.watch.attend()
    const { session } = this.watch.reach()
    if (this.#examined === undefined || Date.now() - this.#examined.at > EXAMINED) {
      const answer = examine(session, SCAN).then(examined => ({
        findings: diagnose(examined),
        scanned: examined.scanned
      }))
      this.#examined = { at: Date.now(), answer }
      // The next one may succeed.
      answer.catch(() => {
        this.#examined = undefined
      })
    }
    const answer = await this.#examined.answer
    return { head: this.#head(), ...answer }
  }

  #head(): wire.WireHead {
    return pageHead(this.watch, this.settings)
  }

  #row(row: ServerRow): wire.WireServer {
    return { ...row, trend: this.watch.trends.of(row.address) }
  }
}

function sparkOf(
  found: { readonly spark: string; readonly address: string } & Partial<SparkDescription>
): wire.WireSpark {
  const { spark, address, server, user, groups, age, transport, info } = found
  return {
    spark,
    address,
    ...(server !== undefined && { server }),
    ...(user !== undefined && { user }),
    ...(groups !== undefined && { groups }),
    ...(age !== undefined && { age }),
    ...(transport !== undefined && { transport }),
    ...(info !== undefined && info !== null && { info: JSON.stringify(info) })
  }
}
