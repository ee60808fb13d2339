import type { Family, Labels, Sample } from './family'

/** The formats in which Prometheus reads numbers. */
export type Format = 'text' | 'openmetrics'

/** The media types of the formats, for the header `Content-Type`. */
export const MEDIA_TYPES: Readonly<Record<Format, string>> = {
  text: 'text/plain; version=0.0.4; charset=utf-8',
  openmetrics: 'application/openmetrics-text; version=1.0.0; charset=utf-8'
}

/** The units with which names may end. OpenMetrics names them in a line of their own. */
const UNITS = ['seconds', 'bytes'] as const

/** Writes families in a format. */
export function formatFamilies(families: readonly Family[], format: Format): string {
  const lines = families.flatMap(family => linesOf(family, format))
  if (format === 'openmetrics') lines.push('# EOF')
  return `${lines.join('\n')}\n`
}

/**
 * The format that a scraper wants by its header `Accept`: OpenMetrics if it ranks version 1.0.0 at least as high as
 * the text format, else the text format, which each scraper reads.
 */
export function negotiate(accept: string | undefined): Format {
  let [text, openmetrics] = [0, 0]
  for (const range of (accept ?? '').toLowerCase().split(',')) {
    const [type = '', ...parameters] = range.split(';').map(part => part.trim())
    const named = new Map(parameters.map(part => part.split('=').map(word => word.trim()) as [string, string]))
    const rank = Number(named.get('q') ?? 1)
    if (type === 'application/openmetrics-text' && (named.get('version') ?? '1.0.0') === '1.0.0')
      openmetrics = Math.max(openmetrics, rank)
    if (type === 'text/plain' && (named.get('version') ?? '0.0.4') === '0.0.4') text = Math.max(text, rank)
  }
  return openmetrics > 0 && openmetrics >= text ? 'openmetrics' : 'text'
}

function linesOf({ name, type, help, samples }: Family, format: Format): string[] {
  const open = format === 'openmetrics'
  // OpenMetrics names the family of a counter or an info without the ending of its samples.
  const family = open ? name.replace(type === 'counter' ? /_total$/ : type === 'info' ? /_info$/ : /^$/, '') : name
  const unit = UNITS.find(one => family.endsWith(`_${one}`))
  return [
    `# HELP ${family} ${escaped(help, open)}`,
    `# TYPE ${family} ${type === 'info' && !open ? 'gauge' : type}`,
    ...(open && unit !== undefined ? [`# UNIT ${family} ${unit}`] : []),
    ...samples.map(sample => lineOf(name, sample, open))
  ]
}

function lineOf(name: string, { suffix, labels, value }: Sample, open: boolean): string {
  return `${name}${suffix ?? ''}${labelText(labels, open)} ${numberText(value)}`
}

function labelText(labels: Labels, open: boolean): string {
  const pairs = Object.entries(labels).map(([label, value]) => {
    // The bounds of buckets are compared as text; OpenMetrics writes them as floating-point numbers.
    const said = open && label === 'le' && /^\d+$/.test(value) ? `${value}.0` : value
    return `${label}="${escaped(said, true)}"`
  })
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`
}

/** @param quoted whether a quotation mark would end the text */
function escaped(text: string, quoted: boolean): string {
  const safe = text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')
  return quoted ? safe.replaceAll('"', '\\"') : safe
}

function numberText(value: number): string {
  if (Number.isFinite(value)) return String(value)
  return Number.isNaN(value) ? 'NaN' : value > 0 ? '+Inf' : '-Inf'
}
