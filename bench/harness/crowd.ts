/** The clients on stage: what runs in their process. They speak with servers over `ws`, as thin as can be. */
import { WebSocket } from 'ws'
import { deadline } from '../../test/support/wait'
import { now } from './clock'
import { dialects, type Dialect } from './dialects'
import { receipt } from './receipts'

/** So many connect at the same time. */
const together = 50
const patience = 60_000

const clients: WebSocket[] = []
let heard = 0
let last = 0
/** How many are waited for, and by whom. */
let goal = Infinity
let reached: () => void = () => undefined
/** What came and when, in turns; `undefined` while nobody wants to know. */
let noted: { at: number, data: Buffer }[] | undefined
let dialect: Dialect = dialects.websockets

/** Who connects. */
export interface Arrival {
  /** Of servers on this machine. */
  ports: readonly number[]
  /** So many to each. */
  each: number
  dialect: keyof typeof dialects
}

/** Connects clients. Resolves with the ids of their sparks, in the order of the ports. */
export async function openClients({ ports, each, dialect: spoken }: Arrival): Promise<string[][]> {
  dialect = dialects[spoken]
  const ids: string[][] = []
  for (const port of ports) {
    const those: string[] = []
    while (those.length < each) {
      const some = Array.from({ length: Math.min(together, each - those.length) }, () => openClient(port))
      those.push(...await deadline(Promise.all(some), patience, `a connection to port ${port}`))
    }
    ids.push(those)
  }
  return ids
}

/** Resolves when so many messages have come since the clients were opened, with the time of the last one. */
export async function awaitMessages(count: number): Promise<number> {
  if (heard < count) {
    const enough = new Promise<void>(resolve => { reached = resolve })
    goal = count
    await deadline(enough, patience, `the last of ${count} messages`).catch((error: unknown) => {
      throw new Error(`${(error as Error).message}: ${heard} have come`, { cause: error })
    })
  }
  return last
}

/** From now on it is noted when which message comes, until `receiptsSince`. */
export function noteReceipts(): void {
  noted = []
}

/** The numbers of the messages that came since `noteReceipts`, each followed by the time when it came. */
export function receiptsSince(): Float64Array {
  const since = (noted ?? []).flatMap(({ at, data }) => [dialect.read(data.toString()).n, at])
  noted = undefined
  return Float64Array.from(since)
}

function openClient(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const client = new WebSocket(`ws://127.0.0.1:${port}${dialect.path()}`, { perMessageDeflate: false, skipUTF8Validation: true })
    clients.push(client)
    const introduce = (data: Buffer | null): void => {
      try {
        const id = dialect.introduce(data?.toString() ?? null, text => client.send(text))
        if (id === undefined) return
        client.off('message', introduce)
        client.on('message', hear)
        resolve(id)
      } catch (error) {
        reject(error instanceof Error ? error : new Error(String(error)))
      }
    }
    client.once('error', reject)
    client.once('open', () => introduce(null))
    client.on('message', introduce)
  })
}

function hear(data: Buffer): void {
  if (!dialect.isMessage(data)) return
  last = now()
  noted?.push({ at: last, data })
  receipt()
  if (++heard === goal) reached()
}
