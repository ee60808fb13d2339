import type Primus from 'primus'

/** What one connection says to another one, or to everybody. */
export interface Said {
  /** The spark id of who says it; a name when it is none. */
  readonly from: string
  readonly text: string
  /** Whether it was said to one alone. */
  readonly alone: boolean
}

/** What has become of something said; told to who said it. */
export interface Receipt {
  /** How many connections it was handed to, on all servers. */
  readonly send: number
  /** Why it did not reach everybody it was meant for, in one sentence. */
  readonly trouble?: string
}

/** The servers of the cluster by address, with the ids of their connections. */
export type Cluster = Record<string, string[]>

/** Where a connection is; told to it first of all. */
export interface Welcome {
  /** What its server is called. */
  readonly server: string
  /** Its own id. */
  readonly spark: string
}

/** What a server sends to a connection: one of these. */
export interface Parcel {
  readonly welcome?: Welcome
  readonly said?: Said
  readonly receipt?: Receipt
  readonly cluster?: Cluster
}

/** The longest text that is passed on, in characters. */
const LONGEST = 2000

/** How often a connection is told who else is there, in ms; only when that has changed. */
const NEWS = 500

/**
 * Tells a connection where it is and who is there, and passes on what it says, to everybody or to one connection wherever it is.
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
        const trouble = missing ? 'Nobody has that id.' : failed?.[0]?.message
        answer(spark, { send, ...trouble !== undefined && { trouble } })
      },
      (error: unknown) => { answer(spark, { send: 0, trouble: String(error) }) }
    )
  })
  show(primus)
}

/** Who is shown what, of each Primus of this process. */
const shown = new WeakMap<Primus, { last: string }>()

/** Tell the connections here who is where in the cluster, now and whenever it changes. */
function show(primus: Primus): void {
  const state = shown.get(primus)
  // Whoever is new has seen nothing yet.
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
      // The next one may be luckier.
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
