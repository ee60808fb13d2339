import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** Where the dashboard and the rules are. */
export const FOLDER = join(__dirname, '..', '..', '..', 'examples', 'monitoring')

interface Grid {
  readonly x: number
  readonly y: number
  readonly w: number
  readonly h: number
}

export interface Panel {
  readonly id: number
  readonly type: string
  readonly title: string
  readonly description: string
  readonly datasource: object
  readonly gridPos: Grid
  readonly targets: readonly { readonly expr: string; readonly legendFormat: string; readonly datasource: object }[]
  readonly fieldConfig: { readonly defaults: { readonly unit: string } }
}

export interface Alert {
  readonly name: string
  readonly expr: string
  readonly severity: string
  readonly summary: string
  readonly description: string
}

interface Dashboard {
  readonly panels: readonly Panel[]
  readonly templating: { readonly list: readonly { readonly name: string }[] }
}

const read = (): Dashboard => JSON.parse(readFileSync(join(FOLDER, 'dashboard.json'), 'utf8')) as Dashboard

/** The panels of the dashboard, and the rows above them. */
export function dashboard(): { panels: Panel[]; rows: Panel[] } {
  const { panels } = read()
  return { panels: panels.filter(({ type }) => type !== 'row'), rows: panels.filter(({ type }) => type === 'row') }
}

/** The names of the dashboard's variables. */
export function variables(): string[] {
  return read().templating.list.map(({ name }) => name)
}

/** The alert rules. The file is laid out plainly, so that no parser of YAML is needed. */
export function alerts(): Alert[] {
  const text = readFileSync(join(FOLDER, 'alerts.yml'), 'utf8')
  return text
    .split(/^ +- alert: /m)
    .slice(1)
    .map(rule => {
      const [, expr = ''] = /^ +expr: (?:>-\n)?(.*?)(?=^ +(?:for|labels):)/ms.exec(rule) ?? []
      const one = (key: string): string => new RegExp(`^ +${key}: (?:>-\\n +)?(.*)$`, 'm').exec(rule)?.[1] ?? ''
      return {
        name: rule.split('\n')[0] ?? '',
        expr: expr.replaceAll(/\s+/g, ' ').trim(),
        severity: one('severity'),
        summary: one('summary'),
        description: one('description')
      }
    })
}

/** The metrics in an expression of PromQL. */
export function metricsIn(expr: string): string[] {
  return [...expr.matchAll(/\bmetroplex_\w+/g)].map(([name]) => name)
}
