/** The clients on stage: what runs in their process. They speak Primus's protocol over `ws`, as thin as can be. */
import { WebSocket } from 'ws'
import { deadline } from '../../test/support/wait'
import { now } from './clock'
import type { Message } from './message'

/** So many connect at the same time. */
const together = 50
const patience = 60_000
const prefix = 'primus::id::'

const clients: WebSocket[] = []
let heard = 0
let last = 0
/** How many are waited for, and by whom. */
let goal = Infinity
let reached: () => void = () => undefined
/** Numbers of messages and when they came, in turns; `undefined` while nobody wants to know. */
let receipts: number[] | undefined

/** Connects so many clients to each of these ports of this machine. Resolves with the ids of their sparks, in the order of the ports. */
export async function openClients({ ports, each }: { ports: readonly number[], each: number }): Promise<string[][]> {
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
  receipts = []
}

/** The numbers of the messages that came since `noteReceipts`, each followed by the time when it came. */
export function receiptsSince(): Float64Array {
  const noted = Float64Array.from(receipts ?? [])
  receipts = undefined
  return noted
}

function openClient(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const client = new WebSocket(`ws://127.0.0.1:${port}/primus`, { perMessageDeflate: false, skipUTF8Validation: true })
    clients.push(client)
    client.once('error', reject)
    client.once('open', () => client.send(JSON.stringify(prefix)))
    client.once('message', (data: Buffer) => {
      const id = JSON.parse(data.toString()) as string
      if (!id.startsWith(prefix)) {
        reject(new Error(`a server said '${id}' instead of the id of a spark`))
        return
      }
      client.on('message', hear)
      resolve(id.slice(prefix.length))
    })
  })
}

function hear(data: Buffer): void {
  last = now()
  receipts?.push((JSON.parse(data.toString()) as Message).n, last)
  if (++heard === goal) reached()
}
