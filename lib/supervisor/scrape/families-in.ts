import type { Family, Labels, Sample } from '../../common/exposition/family'

const TYPES: readonly unknown[] = ['gauge', 'counter', 'histogram', 'info'] satisfies Family['type'][]
const SUFFIXES: readonly unknown[] = [undefined, '_bucket', '_sum', '_count'] satisfies Sample['suffix'][]

/** The families in an answer. A worker may run another release, so what has another form is left out. */
export function familiesIn(given: unknown): Family[] {
  if (!Array.isArray(given)) return []
  return given.filter(isFamily).map(family => ({ ...family, samples: family.samples.filter(isSample) }))
}

function isFamily(given: unknown): given is Family {
  const { name, type, help, samples } = (given ?? {}) as Partial<Record<keyof Family, unknown>>
  const named = typeof name === 'string' && /^[a-zA-Z_]\w*$/.test(name)
  return named && TYPES.includes(type) && typeof help === 'string' && Array.isArray(samples)
}

function isSample(given: unknown): given is Sample {
  const { labels, value, suffix } = (given ?? {}) as Partial<Record<keyof Sample, unknown>>
  return typeof value === 'number' && areLabels(labels) && SUFFIXES.includes(suffix)
}

function areLabels(given: unknown): given is Labels {
  if (typeof given !== 'object' || given === null) return false
  return Object.entries(given).every(([label, value]) => /^[a-zA-Z_]\w*$/.test(label) && typeof value === 'string')
}
