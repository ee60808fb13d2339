import type { Answer, Limits, Peer, Request } from '../../lib/common/transport-contract'
import { MetroplexError } from '../../lib/common/errors'
import { DEFERRABLE_BATCH } from '../../lib/transport/envelope'
import { isRefusal, type Reception, type ReceptionTransport } from '../../lib/transport/receiving/reception-contract'

/**
 * What happens next to a stream: a request arrives; an answer arrives; it breaks, and what was on its way is lost, or
 * arrives after the next hello; the receiver starts anew; or it waits for its address, which another server holds, or
 * no longer does.
 */
export type Turn = 'request' | 'answer' | 'break' | 'late' | 'restart' | 'await' | 'have'

/** A request on its way, or one that waits for its answer. */
interface Sent {
  readonly request: Request
  readonly resolve: (answer: Answer) => void
  readonly reject: (error: MetroplexError) => void
}

/** One stream, both ways. */
class Line {
  open = true
  /** What has not arrived yet. */
  readonly requests: Sent[] = []
  /** What has arrived, and is answered, but the answer has not arrived. */
  readonly answers: { readonly sent: Sent; readonly answer: Answer }[] = []
}

/**
 * A network without wires between one sender and one receiver, by the rules of streams: requests are answered in their
 * order, several may be on their way, and a refused one ends the stream if others may have been sent behind it. What
 * happens, and when, is said beforehand. After that all arrives.
 */
export class Pipe implements ReceptionTransport {
  readonly name = 'pipe'
  readonly limits: Limits = { body: 1_000_000, batch: 100_000 }
  /** The most requests that waited for their answers at a time. */
  most = 0
  #line: Line | undefined
  /** What was on its way on former streams, and arrives after the next hello. */
  #late: Sent[] = []
  #turning = false

  /**
   * @param receiver who receives now
   * @param happen makes the receiver start anew, wait for its address, or have it
   */
  constructor(
    private readonly turns: Turn[],
    private readonly receiver: () => Reception,
    private readonly happen: (what: 'restart' | 'await' | 'have') => void
  ) {}

  open(): void {
    // The sender is asked nothing.
  }

  pipelines(): boolean {
    return this.#line?.open === true
  }

  async greet(_peer: Peer, hello: Request): Promise<Answer> {
    this.#break(false)
    await Promise.resolve()
    if (this.turns[0] === 'have') this.#turn()
    const answer = arrive(this.receiver(), hello)
    if (answer.status === 200) this.#line = new Line()
    return answer
  }

  send(_peer: Peer, request: Request): Promise<Answer> {
    const line = this.#line
    if (line?.open !== true) return Promise.reject(lost(false))
    return new Promise((resolve, reject) => {
      line.requests.push({ request, resolve, reject })
      this.most = Math.max(this.most, line.requests.length + line.answers.length)
      this.#go()
    })
  }

  release(): void {
    this.#break(false)
  }

  close(): Promise<void> {
    this.#break(false)
    return Promise.resolve()
  }

  /** Take turns until nothing is on its way. */
  #go(): void {
    if (this.#turning) return
    this.#turning = true
    setImmediate(() => {
      this.#turning = false
      this.#turn()
      const line = this.#line
      if (line !== undefined && line.requests.length + line.answers.length > 0) this.#go()
    })
  }

  #turn(): void {
    const line = this.#line
    const turn = this.turns.shift() ?? ((line?.requests.length ?? 0) > 0 ? 'request' : 'answer')
    if (turn === 'request') this.#request()
    else if (turn === 'answer') this.#answer()
    else if (turn === 'break' || turn === 'late') this.#break(turn === 'late')
    else {
      this.happen(turn)
      if (turn === 'restart') this.#break(false)
    }
  }

  #request(): void {
    const line = this.#line
    // What is late arrives among the first ones of the next stream.
    const late = this.#late.shift()
    if (late !== undefined) arrive(this.receiver(), late.request)
    const sent = line?.requests.shift()
    if (line === undefined || sent === undefined) return
    const answer = arrive(this.receiver(), sent.request)
    line.answers.push({ sent, answer })
    if (answer.status === 200 || sent.request.type !== DEFERRABLE_BATCH) return
    // The receiver reads no further. Its answers arrive, and then the end of the stream.
    for (const { sent, answer } of line.answers.splice(0)) sent.resolve(answer)
    setImmediate(() => {
      end(line)
    })
  }

  #answer(): void {
    const first = this.#line?.answers.shift()
    first?.sent.resolve(first.answer)
  }

  #break(late: boolean): void {
    const line = this.#line
    if (line?.open !== true) return
    if (late) this.#late.push(...line.requests)
    end(line)
  }
}

function end(line: Line): void {
  line.open = false
  for (const { sent } of line.answers.splice(0)) sent.reject(lost(true))
  for (const sent of line.requests.splice(0)) sent.reject(lost(true))
}

function arrive(receiver: Reception, { head, type, body }: Request): Answer {
  const admitted = receiver.admit(head, type)
  return isRefusal(admitted) ? admitted : receiver.receive(admitted, body)
}

function lost(maybe: boolean): MetroplexError {
  return new MetroplexError('EUNREACHABLE', 'http://b:1 could not be heard.', { address: 'http://b:1', maybe })
}
