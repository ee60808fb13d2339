import { now } from '../common/async'
import { asError } from '../common/errors'
import type { Answerer } from '../membership/registration'
import type { Health, State } from '../reporting/types'
import { isMachineLocal, network } from './network-id'
import type { PeerReachability } from './peer-reachability'
import type { Shards } from '../shards/shards'

/** For how long our own address may be silent before that is a failure, in ms. */
const SILENCE = 5000

/** For how long an address counts as shared after another server has answered there, in ms. */
const SHARED = 30_000

/** Checks whether this server can do its work. */
export class HealthCheck {
  /** Whether our address has ever led to this server. From then on it is a failure when it does not. */
  #reached = false
  /** Since when our address is silent, by `performance.now()`; `undefined` while it answers, or none answers there. */
  #silentSince: number | undefined
  /** At which address of ours another server has answered, and when, by `performance.now()`. */
  #shared = { address: '', at: 0 }
  #ended = false

  constructor(
    private readonly shards: Shards,
    /** Find out which process answers at an address; `'self'` also where peers are not reached by HTTP. */
    private readonly ask: (address: string) => Promise<Answerer | 'silent'>,
    /** The state of this server. */
    private readonly state: () => State,
    /** Whether the HTTP server has been closed and does not listen again. */
    private readonly closed: () => boolean,
    private readonly reach: Pick<PeerReachability, 'warnings'>,
    /** Why no message reaches or leaves this server, in a sentence; `undefined` while messages pass. */
    private readonly trouble: () => string | undefined,
    /** Why the sparks are not evened out, in a sentence; `''` for no reason. */
    private readonly unbalanced: () => string
  ) {}

  /** This server has been destroyed: report that from now on. */
  end(): void {
    this.#ended = true
  }

  /** Check the state, Redis and our own address. Never rejects. */
  async health(): Promise<Health> {
    const { shards } = this
    const { lives } = shards
    const { address } = lives
    const began = now()
    const [dangers, answers] = await Promise.all([
      shards.reachable && !this.#ended ? shards.dangers() : [],
      shards.reachable && address !== '' ? this.#ask(address) : undefined
    ])
    // What Redis has answered may have changed the state.
    const state = this.state()
    const trouble = this.trouble()
    const reasons = this.#ended ? ['This server has been destroyed.'] : lives.reasons
    const warnings = this.#ended ? [] : lives.warnings
    const unbalanced = this.#ended ? '' : this.unbalanced()
    if (unbalanced !== '') warnings.push(unbalanced)
    if (trouble !== undefined && !this.#ended) reasons.push(trouble)
    if (this.closed()) reasons.unshift('The HTTP server has been closed: let it listen again, or destroy this Primus.')
    if (state === 'draining') reasons.unshift('This server is draining: it takes no new sparks.')
    if (lives.awaited !== '')
      reasons.push(`Another live server is registered at the address of this one, ${lives.awaited}: set \`address\`.`)
    const remote = isMachineLocal(address) ? this.#peerElsewhere() : undefined
    if (remote !== undefined) {
      warnings.push(
        `Peers on other machines or in other containers cannot reach ${address}, which leads them to themselves: ` +
          `set \`address\`. One is ${remote}.`
      )
    }
    if (answers !== undefined) {
      const { held, answerer, unreached } = answers
      if (typeof held === 'string' && !reasons.some(reason => reason.includes(held))) reasons.push(held)
      if (held === false) reasons.push('The lease of this server is not held by its life: peers take it for dead.')
      const { failure = '', doubt = '' } = this.#judge(address, answerer, began)
      if (failure !== '') reasons.push(failure)
      if (doubt !== '') warnings.push(doubt)
      warnings.push(...unreached)
    }
    warnings.push(...dangers)
    return { ok: reasons.length === 0, state, reasons, warnings }
  }

  /**
   * What an answer from our own address means. A busy process answers itself too late, so silence is a failure only
   * when it lasts. An address that several servers share leads here by turns, so one answer of ours does not clear it.
   */
  #judge(address: string, answerer: Answerer | 'silent', began: number): { failure?: string; doubt?: string } {
    const wrong = `Its own address, ${address}, does not lead to this server.`
    this.#silentSince = answerer === 'silent' ? (this.#silentSince ?? began) : undefined
    if (answerer === 'other') this.#shared = { address, at: began }
    if (answerer === 'self') {
      this.#reached = true
      const shared = this.#shared.address === address && began < this.#shared.at + SHARED
      return shared ? { failure: `Its own address, ${address}, leads to another server as well.` } : {}
    }
    if (!this.#reached) return { doubt: wrong }
    if (answerer !== 'silent' || now() - (this.#silentSince ?? began) > SILENCE) return { failure: wrong }
    return { doubt: `Its own address, ${address}, is slow to answer: this server is busy, or cannot be reached there.` }
  }

  /** Ask Redis for our lease, or why it does not tell; our own address which process is there; and some peers. */
  async #ask(address: string): Promise<{ held: boolean | string; answerer: Answerer | 'silent'; unreached: string[] }> {
    const [held, answerer, unreached] = await Promise.all([
      this.shards.lives.held().catch((error: unknown) => asError(error).message),
      this.ask(address),
      this.reach.warnings()
    ])
    return { held, answerer, unreached }
  }

  /** The address of a peer that is known to be in another network; `undefined` for none. */
  #peerElsewhere(): string | undefined {
    const { peers } = this.shards
    return peers.addresses.find(address => {
      const theirs = peers.description(address)?.network ?? ''
      return theirs !== '' && theirs !== network()
    })
  }
}
