import { execFile, execFileSync } from 'node:child_process'

/** A family as a scraper reads it. */
export interface ReadFamily {
  readonly name: string
  readonly type: string
  readonly help: string
  readonly unit: string | undefined
  readonly samples: ReadSample[]
}

export interface ReadSample {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

/**
 * Reads the text format of Prometheus, or OpenMetrics, more strictly than Prometheus does.
 *
 * @throws Error for a line that is no part of the format, a sample outside of its family, a family or a sample that
 * comes twice, and a histogram whose buckets are not cumulative
 */
export function parse(text: string): ReadFamily[] {
  if (!text.endsWith('\n')) throw new Error('The last line does not end.')
  const families: ReadFamily[] = []
  const seen = new Set<string>()
  const lines = text.slice(0, -1).split('\n')
  const end = lines.indexOf('# EOF')
  if (end !== -1 && end !== lines.length - 1) throw new Error('There are lines behind # EOF.')
  for (const line of end === -1 ? lines : lines.slice(0, -1)) {
    const [, word, name = '', rest = ''] = /^# (HELP|TYPE|UNIT) ([a-zA-Z_]\w*) (.+)$/.exec(line) ?? []
    const last = families.at(-1)
    if (word === 'HELP') {
      if (families.some(family => family.name === name)) throw new Error(`The family ${name} comes twice.`)
      families.push({ name, type: '', help: rest, unit: undefined, samples: [] })
    } else if (word !== undefined) {
      if (last?.name !== name || last.samples.length > 0) throw new Error(`This line is in another family: ${line}`)
      families.splice(-1, 1, { ...last, [word.toLowerCase()]: rest })
    } else {
      const sample = sampleOf(line)
      if (last === undefined || !belongs(sample.name, last)) throw new Error(`This sample has no family: ${line}`)
      const key = `${sample.name} ${JSON.stringify(Object.entries(sample.labels).sort())}`
      if (seen.has(key)) throw new Error(`This sample comes twice: ${line}`)
      seen.add(key)
      last.samples.push(sample)
    }
  }
  for (const family of families) if (family.type === 'histogram') checkHistogram(family)
  return families
}

/** The value of the only sample with this name and these labels. @throws Error when there is none, or several */
export function valueOf(text: string, name: string, labels: Readonly<Record<string, string>> = {}): number {
  const found = parse(text)
    .flatMap(({ samples }) => samples)
    .filter(
      sample => sample.name === name && Object.entries(labels).every(([is, value]) => sample.labels[is] === value)
    )
  const [sample] = found
  if (sample === undefined || found.length > 1)
    throw new Error(`There are ${found.length} samples ${name} ${JSON.stringify(labels)} in:\n${text}`)
  return sample.value
}

function sampleOf(line: string): ReadSample {
  const [, name = '', , labels = '', value = ''] =
    /^([a-zA-Z_]\w*)(\{((?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (\S+)$/.exec(line) ?? []
  if (name === '') throw new Error(`This is no sample: ${line}`)
  const pairs = [...labels.matchAll(/([a-zA-Z_]\w*)="((?:[^"\\\n]|\\["\\n])*)"/g)].map(
    ([, label = '', text = '']) =>
      [label, text.replaceAll(/\\(.)/g, (_, letter: string) => (letter === 'n' ? '\n' : letter))] as const
  )
  if (new Set(pairs.map(([label]) => label)).size < pairs.length) throw new Error(`A label comes twice: ${line}`)
  return { name, labels: Object.fromEntries(pairs), value: Number(value.replace('Inf', 'Infinity')) }
}

function belongs(sample: string, { name, type }: ReadFamily): boolean {
  if (type === 'histogram') return ['_bucket', '_sum', '_count'].some(suffix => sample === `${name}${suffix}`)
  if (type === 'info') return sample === `${name}_info`
  return sample === name || (type === 'counter' && sample === `${name}_total`)
}

function checkHistogram({ name, samples }: ReadFamily): void {
  const series = new Map<string, ReadSample[]>()
  for (const sample of samples) {
    const key = JSON.stringify(Object.entries({ ...sample.labels, le: '' }).sort())
    series.set(key, [...(series.get(key) ?? []), sample])
  }
  for (const all of series.values()) {
    const buckets = all.filter(sample => sample.name === `${name}_bucket`)
    const bounds = buckets.map(({ labels }) => Number(labels['le']?.replace('Inf', 'Infinity')))
    const counts = buckets.map(({ value }) => value)
    const count = all.find(sample => sample.name === `${name}_count`)?.value
    const rises = (numbers: number[]): boolean => numbers.every((one, i) => i === 0 || one >= (numbers[i - 1] ?? 0))
    if (!rises(bounds) || !rises(counts) || bounds.at(-1) !== Infinity || counts.at(-1) !== count)
      throw new Error(`The histogram ${name} is wrong: ${JSON.stringify(all)}`)
  }
}

/** Whether a program of Prometheus is installed. */
export function installed(program: 'promtool' | 'prometheus'): boolean {
  try {
    execFileSync(program, ['--version'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

/** Runs promtool. Resolves with what it says; rejects when it complains. */
export function promtool(args: readonly string[], input = ''): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = execFile('promtool', args, { timeout: 60_000 }, (error, stdout, stderr) => {
      if (error) reject(new Error(`promtool ${args.join(' ')}: ${stdout}${stderr}`))
      else resolve(`${stdout}${stderr}`)
    })
    child.stdin?.end(input)
  })
}

/** For the name of a test that needs a program. */
export const WITHOUT_PROMTOOL = installed('promtool') ? '' : ' (not tried: promtool is not installed)'
