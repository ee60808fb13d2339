import type { ServerStatus } from '../operations/operator-questions'
import { askStatus, type Answered } from './answers'
import { viewCluster, type ClusterView } from './cluster-view'
import { examine, type Examination } from './findings/examination'
import type { OperatorSession } from './operator-session'

/** What reports are drawn from: the cluster as it is, or a capture of it. */
export interface ClusterSurvey {
  readonly namespace: string
  /** When it was captured, in the format of ISO 8601; `undefined`: it is asked now. */
  readonly captured: string | undefined
  /** What the registries know of the servers. */
  view(): Promise<ClusterView>
  /** What the servers of this view say of themselves, by address. */
  statuses(view: ClusterView): Promise<ReadonlyMap<string, Answered<ServerStatus>>>
  /** All that the rules of the doctor go by. @param scan the most sparks to look at */
  examine(scan: number): Promise<Examination>
}

/** The cluster as it is: each method asks Redis and the servers. */
export function liveSurvey(session: OperatorSession): ClusterSurvey {
  return {
    namespace: session.terms.namespace,
    captured: undefined,
    view: () => viewCluster(session),
    statuses: view => askStatus(session, view),
    examine: scan => examine(session, scan)
  }
}
