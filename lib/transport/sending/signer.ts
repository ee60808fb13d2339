import type { Answer, Request } from '../../common/transport-contract'
import { digest, readHead, signHead, verifyHead, type Head, type Keyring } from '../signature'

/** The identity of this process in requests. */
export interface Asker {
  /** The node id of this process. */
  readonly nodeId: string
  readonly namespace: string
}

/** Signs the requests of this process, and verifies the answers to them. */
export class Signer {
  constructor(
    private readonly local: Asker,
    private readonly keyring: Keyring
  ) {}

  /** The node id of this process. */
  get nodeId(): string {
    return this.local.nodeId
  }

  /** @returns `undefined` while no secret is known */
  sign(head: Head, type: string, body: Buffer): Request | undefined {
    const [secret] = this.keyring.secrets
    return secret === undefined ? undefined : { head: signHead(secret, this.local.namespace, head, type), type, body }
  }

  /** Whether an answer comes from the peer and belongs to this request. */
  verifies(request: Request, asked: Head, { status, head, type, body }: Answer): boolean {
    const given = readHead(head)
    const signature = readHead(request.head)?.signature ?? ''
    if (given === undefined || given.to !== asked.from || given.number !== asked.number) return false
    if (asked.number > 0 && (given.from !== asked.to || given.session !== asked.session)) return false
    return (
      digest(body) === given.digest &&
      verifyHead(this.keyring.secrets, this.local.namespace, given, type, { status, request: signature })
    )
  }

  /** Read the secrets again: another one may be valid by now. Never rejects. */
  async refresh(): Promise<void> {
    await this.keyring.refresh().catch(() => undefined)
  }
}
