import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { ignore } from '../../common/callback'
import { asError } from '../../common/errors'
import { mergeFamilies, type Family } from '../../common/exposition/family'
import { formatFamilies, MEDIA_TYPES, negotiate } from '../../common/exposition/format'
import { answering, refusal } from '../../common/exposition/handler'
import { processFamilies } from '../../common/exposition/process'
import type { MetricsTerms } from '../options'
import type { SupervisorEvents } from '../types'
import type { WorkerGroup } from '../worker-group'
import type { WorkerProcess } from '../process/worker-process'
import type { EmitWorkerEvent } from '../worker-slot'
import { familiesIn } from './families-in'
import { METRICS } from '../worker/metric-sources'
import { WorkerCounts } from './worker-counts'

/** Pause before the port is tried again when another process has it, in ms. */
const RETRY = 5000

/** The workers of a type. */
export type ScrapedGroup = Pick<WorkerGroup, 'current' | 'workers'>

/**
 * Answers scrapes of Prometheus with the metrics of all workers of this machine, at `/metrics`.
 *
 * All workers are asked at once. A worker that does not answer within `timeout` ms is left out of this answer, and
 * `metroplex_worker_up` is 0. A port that is taken costs no worker: it is reported once, and tried again.
 */
export class MetricsPort {
  readonly #counts = new WorkerCounts()
  #server: Server | undefined
  #retry: NodeJS.Timeout | undefined
  #reported = false

  constructor(
    private readonly terms: MetricsTerms,
    private readonly groups: ReadonlyMap<string, ScrapedGroup>,
    private readonly emit: EmitWorkerEvent
  ) {}

  /** Where the metrics are; `''` while the port is not open. */
  get url(): string {
    const address = this.#server?.address() as AddressInfo | null | undefined
    if (!address) return ''
    const host = address.family === 'IPv6' ? `[${address.address}]` : address.address
    return `http://${host}:${address.port}/metrics`
  }

  /** The supervisor emits an event. */
  noticed(event: keyof SupervisorEvents, subject: unknown): void {
    this.#counts.noticed(event, subject)
  }

  /** Open the port. Resolves when it is open, or could not be opened for now. */
  open(): Promise<void> {
    if (this.#server !== undefined) return Promise.resolve()
    const { port, host } = this.terms
    const server = (this.#server = createServer(this.#handler))
    return new Promise(resolve => {
      server.on('error', error => {
        if (this.#server === server && !server.listening) {
          this.#server = undefined
          this.#failed(asError(error))
        }
        resolve()
      })
      server.listen({ port, host, exclusive: true }, () => {
        this.#reported = false
        // It was closed before it could listen.
        if (this.#server !== server) server.close()
        resolve()
      })
    })
  }

  /** Close the port. Resolves when it is closed. */
  close(): Promise<void> {
    clearTimeout(this.#retry)
    const server = this.#server
    this.#server = undefined
    if (server?.listening !== true) return Promise.resolve()
    return new Promise(resolve => {
      server.close(() => {
        resolve()
      })
      server.closeAllConnections()
    })
  }

  readonly #handler = answering(async ({ url = '', headers }) => {
    if (url.split('?')[0] !== '/metrics') return refusal(404, 'The metrics are at /metrics.')
    const format = negotiate(headers.accept)
    return { status: 200, type: MEDIA_TYPES[format], body: formatFamilies(await this.#families(), format) }
  })

  async #families(): Promise<Family[]> {
    const groups = [...this.groups.values()]
    const asked = await Promise.all(
      groups
        // A worker that does not load this library has nothing to say.
        .flatMap(({ current }) => current.filter(({ listening }) => listening))
        .map(async worker => ({ name: worker.name, families: await ask(worker, this.terms.timeout) }))
    )
    const workers = groups.flatMap(group => group.workers)
    const answers = new Map(asked.map(({ name, families }) => [name, families !== undefined]))
    return mergeFamilies([
      { families: this.#counts.families(workers, answers), labels: {} },
      { families: processFamilies(), labels: { worker: 'supervisor' } },
      ...asked.map(({ name, families = [] }) => ({ families, labels: { worker: name } }))
    ])
  }

  #failed(error: Error): void {
    const { port, host } = this.terms
    this.#retry = setTimeout(() => {
      this.open().catch(ignore)
    }, RETRY).unref()
    if (this.#reported) return
    this.#reported = true
    const sentence = `metroplex: the metrics cannot be served on ${host}:${port}: ${error.message}. It is tried again.`
    this.emit('error', new Error(sentence, { cause: error }))
  }
}

/** The metrics of a worker; `undefined` when it did not answer in time, or ended. */
async function ask(worker: WorkerProcess, ms: number): Promise<Family[] | undefined> {
  try {
    return familiesIn(await worker.ask(METRICS, ms))
  } catch {
    return undefined
  }
}
