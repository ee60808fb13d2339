import { now } from '../common/async'
import { asError } from '../common/errors'
import type { Description } from '../registry/records'

/** What `PeerReachability` needs to know of peers. */
export interface ProbePeer {
  /** The addresses of all live peers, as last read. */
  peers(): readonly string[]
  /** What a peer says of itself; `undefined` for a server of 1.x, and for an unknown address. */
  description(address: string): Pick<Description, 'transport' | 'pathname'> | undefined
  /** The name of this server's transport. */
  readonly transport: string
  /** Whether messages reach a peer: `true`, or the error; `undefined` when none was sent lately. */
  delivers(address: string): true | Error | undefined
  /**
   * Find out which process messages to an address reach: this one, or another server. Rejects with the reason when no
   * server answers. `undefined` where peers are not reached by HTTP.
   */
  readonly ask: ((address: string, pathname: string) => Promise<'self' | 'other'>) | undefined
}

/** For how long an answer is valid, in ms. */
const FRESH = 30_000
/** How many peers one check asks at most, so that it stays cheap in a large cluster. */
const MOST = 8

/**
 * Finds peers that cannot be reached at their addresses, from the results of messages. Peers to which none was sent are
 * asked directly.
 *
 * A machine with several networks often registers an address that leads only to itself. Then both servers look healthy,
 * but every message fails.
 */
export class PeerReachability {
  /** When a peer was asked last, by `performance.now()`, and the warning about it; `''` for none. */
  readonly #asked = new Map<string, { at: number; wrong: string }>()

  constructor(private readonly reaches: ProbePeer) {}

  /** A sentence for each peer that cannot be reached. Asks some peers at once, so it takes as long as one question. */
  async warnings(): Promise<string[]> {
    const { reaches } = this
    const peers = reaches.peers().filter(address => reaches.description(address)?.transport === reaches.transport)
    for (const address of this.#asked.keys()) if (!peers.includes(address)) this.#asked.delete(address)
    const silent = peers.filter(address => reaches.delivers(address) === undefined)
    await this.#askSome(silent)
    const wrong = peers.map(address => this.#wrong(address)).filter(sentence => sentence !== '')
    return [...wrong, ...this.#otherTransports()]
  }

  /** Sentences about peers that use another transport. No message between them and us can arrive. */
  #otherTransports(): string[] {
    const { reaches } = this
    return reaches.peers().flatMap(address => {
      const theirs = reaches.description(address)?.transport ?? ''
      if (theirs === '' || theirs === reaches.transport) return []
      const both = `the transport '${theirs}', and this server uses '${reaches.transport}'`
      return `Messages do not reach a peer, ${address}: it uses ${both}. Give all servers the same \`transport\`.`
    })
  }

  async #askSome(silent: readonly string[]): Promise<void> {
    const { ask } = this.reaches
    if (ask === undefined) return
    const last = (address: string): { at: number; wrong: string } =>
      this.#asked.get(address) ?? { at: -FRESH, wrong: '' }
    // A peer that did not answer is asked in each check, because it may have been busy. The oldest answers go first.
    const due = silent.filter(address => last(address).wrong !== '' || last(address).at < now() - FRESH)
    due.sort((a, b) => last(a).at - last(b).at)
    await Promise.all(
      due.slice(0, MOST).map(async address => {
        const answerer = await ask(address, this.reaches.description(address)?.pathname ?? '').catch(asError)
        const wrong = answerer === 'other' ? '' : describeWrong(address, answerer)
        this.#asked.set(address, { at: now(), wrong })
      })
    )
  }

  #wrong(address: string): string {
    const delivers = this.reaches.delivers(address)
    if (delivers === true) return ''
    if (delivers === undefined) return this.#asked.get(address)?.wrong ?? ''
    return `Messages do not reach a peer, ${address}: ${delivers.message}`
  }
}

function describeWrong(address: string, answerer: 'self' | Error): string {
  if (answerer === 'self')
    return (
      `The address of a peer, ${address}, leads to this server: ` +
      'give each an `address` at which its peers reach it alone.'
    )
  const reason = answerer.message.replace(/\.$/, '')
  const certificate = address.startsWith('https:') ? ', and set `tls` so that they accept its certificate' : ''
  return (
    `No server of the cluster answers at the address of a peer, ${address} (${reason}): ` +
    `give it an \`address\` at which its peers reach it${certificate}.`
  )
}
