/** The clients on stage: what runs in their process. They speak with servers over `ws`, as thin as can be. */
import { setTimeout as sleep } from 'node:timers/promises'
import { WebSocket } from 'ws'
import { deadline } from '../../test/support/wait'
import { now } from './clock'
import { dialects, type Dialect } from './dialects'
import { receipt } from './receipts'

/** So many connect at the same time. */
const together = 50
const patience = 60_000
/** Milliseconds between two looks whether all messages have come. */
const LOOK = 10

const clients: WebSocket[] = []
let heard = 0
let last = 0
/** How many are waited for, and what happens then. */
let goal = Infinity
let reached: () => void = () => undefined
/** What came and when, in turns; `undefined` while it is not measured. */
let noted: { at: number; client: number; data: Buffer }[] | undefined
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
      those.push(...(await deadline(Promise.all(some), patience, `a connection to port ${port}`)))
    }
    ids.push(those)
  }
  return ids
}

/** Resolves when so many messages have come since the clients were opened, with the time of the last one. */
export async function awaitMessages(count: number): Promise<number> {
  if (heard < count) {
    const enough = new Promise<void>(resolve => {
      reached = resolve
    })
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

/** How many messages are awaited after `noteReceipts`, and for how many ms after one the next is. */
export interface Awaited {
  readonly count: number
  readonly quiet: number
}

/** Resolves when so many messages have come since `noteReceipts`, or when no further one has come for a while. */
export async function awaitReceipts({ count, quiet }: Awaited): Promise<void> {
  const began = now()
  while ((noted?.length ?? 0) < count && now() - Math.max(last, began) < quiet) await sleep(LOOK)
}

/**
 * Of each message that came since `noteReceipts`: its number, the time when it came, and the client that received it.
 */
export function arrivalsSince(): Float64Array {
  const since = (noted ?? []).flatMap(({ at, client, data }) => [dialect.read(data.toString()).n, at, client])
  noted = undefined
  return Float64Array.from(since)
}

function openClient(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const client = new WebSocket(`ws://127.0.0.1:${port}${dialect.path()}`, {
      perMessageDeflate: false,
      skipUTF8Validation: true
    })
    const number = clients.push(client) - 1
    const introduce = (data: Buffer | null): void => {
      try {
        const id = dialect.introduce(data?.toString() ?? null, text => client.send(text))
        if (id === undefined) return
        client.off('message', introduce)
        client.on('message', (data: Buffer) => hear(data, number))
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

function hear(data: Buffer, client: number): void {
  if (!dialect.isMessage(data)) return
  last = now()
  noted?.push({ at: last, client, data })
  receipt()
  if (++heard === goal) reached()
}
