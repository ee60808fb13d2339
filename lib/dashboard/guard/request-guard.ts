import type { IncomingMessage } from 'node:http'
import { isIP } from 'node:net'
import type { DashboardSettings } from '../options'
import { PageRefusal } from '../refusal'
import { TokenGate } from './token-gate'

/** Decides which requests are answered. Each method throws a PageRefusal for one that is not. */
export class RequestGuard {
  readonly #gate: TokenGate | undefined

  constructor(private readonly settings: Pick<DashboardSettings, 'token' | 'authorize' | 'hosts'>) {
    if (settings.token !== undefined) this.#gate = new TokenGate(settings.token)
  }

  /**
   * Refuse what another site has a browser ask.
   *
   * @param page whether the request is for the page itself, to which other sites may have links
   */
  checkOrigin(req: IncomingMessage, page: boolean): void {
    const { headers } = req
    const host = hostOf(req)
    const name = nameIn(host)
    // A name that leads here only for a moment is how a foreign page would get around the rules of browsers.
    if (!this.#known(name))
      throw new PageRefusal(403, `This page is not served under the name ${name}: add it to its hosts.`)
    const { origin } = headers
    if (origin !== undefined && (!URL.canParse(origin) || new URL(origin).host !== host))
      throw new PageRefusal(403, 'This request comes from a page of another site, and is refused.')
    const site = headers['sec-fetch-site'] ?? 'none'
    if (site === 'same-origin' || site === 'none') return
    if (page && headers['sec-fetch-mode'] === 'navigate' && headers['sec-fetch-dest'] === 'document') return
    throw new PageRefusal(403, 'This request comes from a page of another site, and is refused.')
  }

  /** Refuse a caller that may not use the page. */
  async checkAccess(req: IncomingMessage): Promise<void> {
    const { authorize } = this.settings
    const address = req.socket.remoteAddress ?? ''
    this.#gate?.admit(address, req.headers.authorization)
    if (authorize !== undefined) {
      if (!(await authorize(req))) throw new PageRefusal(403, 'You may not use this page: ask those who run it.')
    } else if (this.#gate === undefined && !isLoopback(address)) {
      throw new PageRefusal(
        403,
        'This page has no token, so it answers requests from its own machine only: give it a token, or `authorize`.'
      )
    }
  }

  #known(name: string): boolean {
    return name === 'localhost' || name.endsWith('.localhost') || isIP(name) !== 0 || this.settings.hosts.has(name)
  }
}

/** Whether an address of a socket is of this machine. A Unix socket has none. */
export function isLoopback(address: string): boolean {
  return address === '' || address === '::1' || /^(?:::ffff:)?127\./.test(address)
}

function hostOf({ headers }: IncomingMessage): string {
  const host = (headers[':authority'] as string | undefined) ?? headers.host
  if (host !== undefined && host !== '') return host.toLowerCase()
  throw new PageRefusal(400, 'The request names no host.')
}

/** The name in a host, without its port and without the brackets of IPv6. */
function nameIn(host: string): string {
  return host.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1')
}
