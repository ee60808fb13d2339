import { assume } from '../support/assume'
import { openClient, type Client } from '../support/client'
import { eventually } from '../support/wait'
import { counter, Flow, judge, numbersOf, Passage, type Outcome, type Transport } from '../faults/passage'
import type { Ground } from '../faults/ground'
import type { TcpProxy } from '../support/proxy'
import { Dice } from '../support/dice'

/** How much of everything. */
export interface Amounts {
  readonly transport: Transport
  readonly seed: number
  /** Messages of the first phase, at least. */
  readonly messages: number
  /** Accidents of connections in the first phase. */
  readonly faults: number
  /** Servers that are killed in the second phase. */
  readonly kills: number
  /** Something to tell of. */
  readonly say: (line: string) => void
}

/** What came about. */
export interface Figures {
  readonly sent: number
  /** Were said not to have left, and have not: over Redis alone, when the sender itself was cut off from it. */
  readonly unsent: number
  readonly faults: Readonly<Record<string, number>>
  /** Batches that were sent once more, and such that had been carried out already. */
  readonly retried: number
  readonly repeated: number
  /** The longest that a message took, in ms. */
  readonly longest: number
  readonly kills: number
  /**
   * Messages of the second phase: in all, those that have failed, and of these those that may have arrived and those
   * that had.
   */
  readonly struck: { readonly sent: number; readonly failed: number; readonly maybe: number; readonly arrived: number }
}

/** How long an operation may take, in ms; a connection that became mute is given up after a third of it. */
const TIMEOUT = 10_000
const options = { interval: 60_000, metroplex: { timeout: TIMEOUT, lease: 15_000 } }

/**
 * The sparks of each server in the first phase; how many send to each of them at the same time, and their pauses in ms.
 */
const [SPARKS, CALLERS, PAUSE] = [2, 3, 5]
/** The longest that nothing passes, and the longest between two accidents, in ms. */
const [FROZEN, APART] = [200, 40]

/** What may become of connections. */
const accidents: Readonly<Record<string, (proxy: TcpProxy, dice: Dice) => Promise<void> | void>> = {
  reset: proxy => {
    proxy.cut()
  },
  lost: proxy => {
    proxy.dropNextReply({ cut: true })
  },
  mute: proxy => {
    proxy.dropNextReply()
  },
  frozen: (proxy, dice) =>
    held(proxy, dice, () => {
      proxy.freeze()
    }),
  deaf: (proxy, dice) =>
    held(proxy, dice, () => {
      proxy.freezeReplies()
    })
}

async function held(proxy: TcpProxy, dice: Dice, hold: () => void): Promise<void> {
  hold()
  await sleep(dice.below(FROZEN))
  // What was held back comes late, or never.
  if (dice.below(2) === 0) proxy.cut()
  proxy.thaw()
}

/** The length of a pause is part of what is thrown by dice. */
function sleep(ms: number): Promise<void> {
  return new Promise(resolve => {
    setTimeout(resolve, ms)
  })
}

/**
 * Three servers that send each other's sparks numbered messages, while connections between them are reset, stand still,
 * and lose answers; and then while receivers are killed and started again on their address. No caller waits for every
 * second message.
 *
 * @throws when a message was lost, doubled or overtaken, or when it had arrived although it was said that it had not
 */
export async function stress(ground: Ground, amounts: Amounts): Promise<Figures> {
  const { transport, seed, say } = amounts
  const dice = new Dice(seed)
  const connections = await first(ground, amounts, dice)
  say(
    `${connections.sent} messages through ${amounts.faults} accidents: none lost, none doubled, none out of order` +
      (connections.unsent === 0 ? '' : `; ${connections.unsent} more did not leave, and were reported so`)
  )
  const struck = await second(ground, transport, amounts.kills, dice, say)
  return { ...connections, kills: amounts.kills, struck }
}

async function first(
  ground: Ground,
  { transport, messages, faults, say }: Amounts,
  dice: Dice
): Promise<Omit<Figures, 'kills' | 'struck'>> {
  const passages = await Promise.all([0, 1, 2].map(() => Passage.to(ground, transport, options)))
  const servers = passages.map(({ server }) => server)
  const clients = await Promise.all(
    passages.map(({ server }) => Promise.all(Array.from({ length: SPARKS }, () => openClient(server.url))))
  )
  await ground.settled(...servers)
  const flows: { flow: Flow; name: string; client: Client }[] = []
  for (const [i, server] of servers.entries()) {
    for (const [j, of] of clients.entries()) {
      if (j !== i)
        for (const [k, client] of of.entries())
          flows.push({
            flow: await Flow.start(server, `${i}>${j}.${k}`, client.id, {
              callers: CALLERS,
              pause: PAUSE,
              unawaited: true
            }),
            name: `${i}>${j}.${k}`,
            client
          })
    }
  }
  const arrived = (): number => clients.flat().reduce((sum, { messages }) => sum + messages.length, 0)
  const counts: Record<string, number> = {}
  // That a connection to Redis has become mute is noticed after `timeout`, and messages fail until then.
  const kinds = Object.keys(accidents).filter(kind => kind !== 'mute' || transport === 'http')
  let told = performance.now()
  for (let i = 0; i < faults; i++) {
    const kind = kinds[dice.below(kinds.length)] ?? ''
    counts[kind] = (counts[kind] ?? 0) + 1
    const proxy = passages[dice.below(passages.length)]?.proxy
    if (proxy !== undefined) await accidents[kind]?.(proxy, dice)
    // Spread over the messages.
    await eventually(() => arrived() >= (messages * i) / faults, { within: 60_000, every: 5 })
    await sleep(dice.below(APART))
    if (performance.now() - told < 10_000) continue
    told = performance.now()
    say(`${arrived()} messages, ${i + 1} accidents`)
  }
  await eventually(() => arrived() >= messages, { within: 60_000, every: 20 })
  const outcomes = await Promise.all(flows.map(({ flow }) => flow.stop()))
  let [sent, unsent, longest] = [0, 0, 0]
  for (const [i, { name, client }] of flows.entries()) {
    const outcome = outcomes[i] as Outcome
    const { bad } = outcome
    assume(bad.filter(({ maybe }) => transport === 'http' || maybe)).eql([], `what has failed of ${name}`)
    const excused = new Set(bad.map(({ n }) => n))
    await eventually(() => numbersOf(client.messages, name).length >= outcome.sent - bad.length, {
      within: 10_000,
      what: `the last message of ${name}`
    })
    assume(judge(client.messages, name, outcome.sent, excused)).eql({ lost: [], doubled: [], disordered: 0 }, name)
    for (const n of numbersOf(client.messages, name))
      assume(excused.has(n)).false(`message ${n} of ${name} has come, though it was said that it had not left`)
    sent += outcome.sent - bad.length
    unsent += bad.length
    longest = Math.max(longest, outcome.longest)
  }
  const sum = async (name: string): Promise<number> =>
    (await Promise.all(servers.map(server => counter(server, name)))).reduce((sum, count) => sum + count, 0)
  const figures = {
    sent,
    unsent,
    faults: counts,
    retried: await sum('retried'),
    repeated: await sum('repeated'),
    longest
  }
  ground.unharmed(...servers)
  for (const client of clients.flat()) await client.close()
  for (const server of servers) await server.stop()
  return figures
}

/** A client that is there again after each start of its server, under the same id. */
class Sitter {
  readonly messages: unknown[] = []
  #client: Client | undefined

  constructor(
    readonly passage: Passage,
    readonly id: string
  ) {}

  async sit(): Promise<void> {
    this.#client = await openClient(this.passage.server.url, { options: { strategy: false } })
    assume(this.#client.id).equals(this.id)
    for (const message of this.#client.messages) this.messages.push(message)
    this.#client.socket.on('data', message => {
      this.messages.push(message)
    })
  }

  async rise(): Promise<void> {
    // What was written to it before its server died is still to be read.
    await sleep(50)
    await this.#client?.close()
  }
}

async function second(
  ground: Ground,
  transport: Transport,
  kills: number,
  dice: Dice,
  say: (line: string) => void
): Promise<Figures['struck']> {
  const sender = await Passage.to(ground, transport, options)
  const sitters = await Promise.all(
    ['left', 'right'].map(
      async id =>
        new Sitter(
          await Passage.to(
            ground,
            transport,
            { ...options, ...{ always: id } },
            {
              prepare: options => {
                options['idGenerator'] = () => options['always']
              }
            }
          ),
          id
        )
    )
  )
  for (const sitter of sitters) await sitter.sit()
  await ground.settled(sender.server, ...sitters.map(({ passage }) => passage.server))
  const flows = await Promise.all(
    sitters.map(({ id }) => Flow.start(sender.server, id, id, { callers: CALLERS, unawaited: true }))
  )
  for (let i = 0; i < kills; i++) {
    const sitter = sitters[dice.below(sitters.length)]
    if (sitter === undefined) throw new Error('there are two')
    const { passage, messages } = sitter
    const before = messages.length
    await eventually(() => messages.length > before + 20, { within: 20_000, what: `messages for ${sitter.id}` })
    // Between applying and answering, or at any moment.
    if (dice.below(2) === 0) {
      passage.proxy.freezeReplies()
      await sleep(dice.below(FROZEN))
    }
    await sleep(dice.below(APART))
    await passage.server.kill()
    passage.proxy.cut()
    passage.proxy.thaw()
    await sitter.rise()
    await passage.start()
    await sitter.sit()
    say(`${i + 1} killed`)
  }
  for (const { messages, id } of sitters) {
    const before = messages.length
    await eventually(() => messages.length > before + 20, { within: 20_000, what: `messages for ${id}` })
  }
  let [sent, failed, maybe, arrived] = [0, 0, 0, 0]
  for (const [i, { id, messages }] of sitters.entries()) {
    const outcome = await flows[i]?.stop()
    if (outcome === undefined) throw new Error('there is one for each')
    await eventually(() => numbersOf(messages, id).length > 0)
    const { doubled, disordered } = judge(messages, id, outcome.sent)
    assume({ doubled, disordered }).eql({ doubled: [], disordered: 0 }, id)
    const seen = new Set(numbersOf(messages, id))
    const wrong = outcome.bad.filter(bad => !bad.maybe && seen.has(bad.n))
    assume(wrong).eql([], `what has come for ${id}, though it was said that it had not`)
    sent += outcome.sent
    failed += outcome.bad.length
    maybe += outcome.bad.filter(bad => bad.maybe).length
    arrived += outcome.bad.filter(bad => bad.maybe && seen.has(bad.n)).length
  }
  ground.sound(sender.server, ...sitters.map(({ passage }) => passage.server))
  for (const sitter of sitters) await sitter.rise()
  for (const { server } of [sender, ...sitters.map(({ passage }) => passage)]) await server.stop()
  return { sent, failed, maybe, arrived }
}
