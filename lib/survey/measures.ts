import { live, type ClusterView } from './cluster-view'
import { differences } from './differences'
import type { ClusterSurvey } from './survey'

type Statuses = Awaited<ReturnType<ClusterSurvey['statuses']>>

/** Something that `metroplex check` measures. */
export interface Measure {
  /** What the number is. */
  readonly says: string
  readonly unit: '' | 's' | 'ms'
  /** On which side of a plain limit an alert is. */
  readonly bad: 'above' | 'below'
  /** The limits if none are given. */
  readonly warn?: string
  readonly critical?: string
  readonly of: (view: ClusterView, statuses: Statuses) => number
}

/** What `metroplex check` measures, by name. */
export const MEASURES: Readonly<Record<string, Measure>> = {
  servers: {
    says: 'live servers that answer',
    unit: '',
    bad: 'below',
    critical: '1',
    of: (view, statuses) => live(view).length - mute(statuses)
  },
  mute: {
    says: 'live servers that do not answer',
    unit: '',
    bad: 'above',
    warn: '0',
    of: (_view, answers) => mute(answers)
  },
  unready: {
    says: 'servers that answer, and are not ready',
    unit: '',
    bad: 'above',
    warn: '0',
    of: (_view, statuses) => sum(statuses, ({ state }) => (state === 'ready' ? 0 : 1))
  },
  dead: {
    says: 'servers that have died or left, and are not cleaned up',
    unit: '',
    bad: 'above',
    warn: '0',
    of: view => view.servers.length - live(view).length
  },
  differences: {
    says: 'things in which servers differ that should be alike',
    unit: '',
    bad: 'above',
    warn: '0',
    of: (view, statuses) => differences(view, statuses).length
  },
  sparks: {
    says: 'sparks on live servers',
    unit: '',
    bad: 'above',
    of: view => live(view).reduce((total, { sparks }) => total + sparks, 0)
  },
  beat: {
    says: 'the age of the oldest last beat of a live server of 2.x',
    unit: 's',
    bad: 'above',
    of: view => Math.max(0, ...live(view).map(({ old, age = 0 }) => (old ? 0 : age))) / 1000
  },
  queued: {
    says: 'messages that wait between servers',
    unit: '',
    bad: 'above',
    of: (_view, statuses) => sum(statuses, ({ queued }) => queued.messages)
  },
  disowned: {
    says: 'sparks that are registered on another server than their own',
    unit: '',
    bad: 'above',
    warn: '0',
    of: (_view, statuses) => sum(statuses, ({ disowned }) => disowned)
  },
  redis: { says: 'how long Redis took to answer', unit: 'ms', bad: 'above', of: view => view.took }
}

/** Measure once. */
export async function measured(survey: ClusterSurvey, measure: Measure): Promise<number> {
  const view = await survey.view()
  const statuses = await survey.statuses(view)
  return Math.round(measure.of(view, statuses) * 1000) / 1000
}

function mute(statuses: Statuses): number {
  return [...statuses.values()].filter(({ failure }) => failure !== undefined).length
}

function sum(statuses: Statuses, of: (stats: NonNullable<StatusOf>['stats']) => number): number {
  return [...statuses.values()].reduce((total, { value }) => total + (value === undefined ? 0 : of(value.stats)), 0)
}

type StatusOf = (Statuses extends ReadonlyMap<string, infer Answer> ? Answer : never)['value']
