import type Primus from 'primus'

/** A chat message to one connection, or to all. */
export interface Said {
  /** The spark id of the sender; a name when it is no spark. */
  readonly from: string
  readonly text: string
  /** Whether it was sent to one connection only. */
  readonly alone: boolean
}

/** What became of a chat message; sent to its sender. */
export interface Receipt {
  /** How many connections it was handed to, on all servers. */
  readonly send: number
  /** Why it did not reach all of its recipients, in one sentence. */
  readonly trouble?: string
}

/** The servers of the cluster by address, with the ids of their connections. */
export type Cluster = Record<string, string[]>

/** Where a connection is; sent to it first. */
export interface Welcome {
  /** The name of its server. */
  readonly server: string
  /** Its own id. */
  readonly spark: string
}

/** A message from a server to a connection: one of these. */
export interface Parcel {
  readonly welcome?: Welcome
  readonly said?: Said
  readonly receipt?: Receipt
  readonly cluster?: Cluster
}

/** The longest text that is passed on, in characters. */
const LONGEST = 2000

/** How often connections are sent the list of connections, in ms; only when it has changed. */
const NEWS = 500

/**
 * Tells a connection where it is and what else is connected, and passes on its messages, to all connections or to one
 * on any server.
 *
 * @example
 * primus.on('connection', spark => { chat(primus, spark) })
 */
export function chat(primus: Primus, spark: Primus.Spark): void {
  spark.write({ welcome: { server: primus.metroplex.name, spark: spark.id } } satisfies Parcel)
  spark.on('data', data => {
    const { to, text } = (data ?? {}) as { to?: unknown; text?: unknown }
    if (typeof text !== 'string' || text === '' || text.length > LONGEST) return
    const alone = typeof to === 'string' && to !== ''
    const said: Parcel = { said: { from: spark.id, text, alone } }
    const sending = alone ? primus.forward.spark(to, said) : primus.forward.broadcast(said)
    sending.then(
      ({ send, missing, failed }) => {
        const trouble = missing ? 'No connection has this id.' : failed?.[0]?.message
        answer(spark, { send, ...(trouble !== undefined && { trouble }) })
      },
      (error: unknown) => {
        answer(spark, { send: 0, trouble: String(error) })
      }
    )
  })
  show(primus)
}

/** The last list that was sent, for each Primus of this process. */
const shown = new WeakMap<Primus, { last: string }>()

/** Sends the list of all connections of the cluster, now and whenever it changes. */
function show(primus: Primus): void {
  const state = shown.get(primus)
  // A new connection has no list yet.
  if (state !== undefined) {
    state.last = ''
    return
  }
  const begun = { last: '' }
  shown.set(primus, begun)
  setInterval(() => {
    survey(primus).then(
      cluster => {
        const news = JSON.stringify(cluster)
        if (news === begun.last) return
        begun.last = news
        primus.write({ cluster } satisfies Parcel)
      },
      // The next attempt may succeed.
      () => undefined
    )
  }, NEWS).unref()
}

async function survey(primus: Primus): Promise<Cluster> {
  const cluster: Cluster = {}
  for (const address of await primus.metroplex.servers(true)) {
    const ids: string[] = []
    for await (const id of primus.metroplex.sparksOn(address)) ids.push(id)
    cluster[address] = ids.sort()
  }
  return cluster
}

function answer(spark: Primus.Spark, receipt: Receipt): void {
  spark.write({ receipt } satisfies Parcel)
}
