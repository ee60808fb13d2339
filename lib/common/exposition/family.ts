/** What a label says of a sample. */
export type Labels = Readonly<Record<string, string>>

/** One number of a family. */
export interface Sample {
  readonly labels: Labels
  readonly value: number
  /** What follows the name of the family; of histograms alone. */
  readonly suffix?: '_bucket' | '_sum' | '_count'
}

/** Numbers of one name, with one unit and one meaning, as a process exports them to Prometheus. */
export interface Family {
  /** The whole name: that of a counter ends in `_total`, that of an info in `_info`. */
  readonly name: string
  readonly type: 'gauge' | 'counter' | 'histogram' | 'info'
  /** What the numbers are, in a sentence. */
  readonly help: string
  readonly samples: readonly Sample[]
}

/** The durations that a histogram has counted, in seconds. */
export interface Totals {
  readonly count: number
  readonly sum: number
  /** How many took at most so long: the upper bound of a bucket and the count, which includes the buckets below. */
  readonly buckets: readonly (readonly [bound: number, count: number])[]
}

/** The samples of a histogram. */
export function histogramSamples(labels: Labels, { count, sum, buckets }: Totals): Sample[] {
  return [
    ...[...buckets, [Infinity, count] as const].map(([bound, value]): Sample => ({
      suffix: '_bucket',
      labels: { ...labels, le: boundText(bound) },
      value
    })),
    { suffix: '_sum', labels, value: sum },
    { suffix: '_count', labels, value: count }
  ]
}

/** Numbers of one process, and the labels that tell it from others. */
export interface Origin {
  readonly families: readonly Family[]
  readonly labels: Labels
}

/**
 * The families of several processes as one list, in which each name occurs once. Where processes disagree about the
 * type of a name, because they run different versions, the first one decides and the others lack it.
 */
export function mergeFamilies(origins: readonly Origin[]): Family[] {
  const merged = new Map<string, Omit<Family, 'samples'> & { samples: Sample[] }>()
  for (const { families, labels } of origins) {
    for (const family of families) {
      const known = merged.get(family.name)
      const samples = family.samples.map(sample => ({ ...sample, labels: { ...sample.labels, ...labels } }))
      if (known === undefined) merged.set(family.name, { ...family, samples })
      else if (known.type === family.type) known.samples.push(...samples)
    }
  }
  return [...merged.values()]
}

/** The upper bound of a bucket. Prometheus compares bounds as text, so each format has one spelling of its own. */
function boundText(bound: number): string {
  return bound === Infinity ? '+Inf' : String(bound)
}
