import { RpcResponder, type Prepare } from '../../lib/rpc/responder'
import type { PeerChannel } from '../../lib/rpc/peer-channel'
import { RpcCaller } from '../../lib/rpc/caller'
import { MetroplexError } from '../../lib/common/errors'
import type { Message } from '../../lib/common/encoded-message'
import { ApplicationTransport } from '../../lib/transport/application-transport'
import { outgoing, type Reply } from '../../lib/transport/envelope'
import { PeerLinks } from '../../lib/transport/peer-links'
import type { MessageHandler } from '../../lib/transport/receiving/inbox'
import { using } from '../support/dispose'
import { Network, type Fate } from '../transport/lossy'

const keyring = { secrets: ['a secret of the whole cluster'], refresh: () => Promise.resolve() }

/** How much an end bears. */
export interface Bounds {
  readonly messages: number
  readonly bytes: number
  readonly total: number
}

const AMPLE: Bounds = { messages: 100_000, bytes: 64_000_000, total: 256_000_000 }

/** One of several in this process that ask each other and answer, over real sessions and a network without wires. */
export class End implements PeerChannel {
  readonly word: string
  readonly answers: RpcResponder
  readonly questions: RpcCaller
  readonly #messenger: PeerLinks

  constructor(
    readonly address: string,
    private readonly all: readonly End[],
    network: Network,
    bounds: Bounds
  ) {
    this.word = `the-word-of-${address.slice(7).replace(':', '-')}`
    const place = { nodeId: this.word, namespace: 'test', address }
    this.#messenger = new PeerLinks(
      new ApplicationTransport(network.at(address)),
      place,
      keyring,
      { timeout: 1000, maxBody: 1_000_000, maxQueue: bounds },
      { counted: () => undefined, returnPathLost: () => undefined, broken: () => undefined }
    )
    this.answers = new RpcResponder(this, bounds, () => address)
    this.questions = new RpcCaller(this, this.answers, () => address, bounds.messages)
    using(async () => {
      await this.questions.close()
      this.answers.close()
      await this.#messenger.close()
    })
  }

  async open(): Promise<void> {
    await this.#messenger.open()
  }

  take(kind: string, handler: MessageHandler): void {
    this.#messenger.handle(kind, handler)
  }

  addressOf(word: string): string {
    return this.all.find(end => end.word === word)?.address ?? ''
  }

  reaches(word: string): boolean {
    return this.addressOf(word) !== ''
  }

  carry(address: string, kind: string, detail: unknown, message: Message, deadline: number): Promise<Reply> {
    const to = this.all.find(end => end.address === address)
    if (to === undefined)
      return Promise.reject(
        new MetroplexError('EUNREACHABLE', `No server is at ${address}.`, { address, maybe: false })
      )
    return this.#messenger.send(
      address,
      { word: to.word, pathname: '/primus' },
      outgoing(kind, detail, message),
      deadline
    )
  }

  back(word: string, kind: string, detail: unknown, message: Message, deadline: number): Promise<Reply> {
    return this.carry(this.addressOf(word), kind, detail, message, deadline)
  }
}

/** Three that can ask each other: what the second and the third are asked of a kind, they answer as is said here. */
export async function ends(
  prepare: Prepare,
  how: { fates?: Fate[]; bounds?: Partial<Bounds> } = {}
): Promise<[End, End, End]> {
  const network = new Network(how.fates ?? [])
  const all: End[] = []
  for (const address of ['http://a:1', 'http://b:1', 'http://c:1'])
    all.push(new End(address, all, network, { ...AMPLE, ...how.bounds }))
  const [a, b, c] = all as [End, End, End]
  for (const end of all) await end.open()
  for (const { answers } of [b, c]) answers.handle('kind', prepare)
  return [a, b, c]
}
