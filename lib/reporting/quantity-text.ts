const GROUPED = new Intl.NumberFormat('en-US')

/** A whole number with separators: `1,234,567`. */
export function count(number: number): string {
  return GROUPED.format(number)
}

/** A number and its noun: `1 server`, `2,000 servers`. */
export function counted(number: number, noun: string, plural = `${noun}s`): string {
  return `${count(number)} ${number === 1 ? noun : plural}`
}

/** A length of time for a column: `870 ms`, `4.2 s`, `12 min`, `3.0 h`, `12 d`. */
export function span(ms: number): string {
  if (ms < 10) return `${Math.max(0, ms).toFixed(1)} ms`
  if (ms < 1000) return `${Math.round(ms)} ms`
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`
  if (ms < 3_600_000) return `${Math.round(ms / 60_000)} min`
  if (ms < 172_800_000) return `${(ms / 3_600_000).toFixed(1)} h`
  return `${Math.round(ms / 86_400_000)} d`
}

/** A length of time for a sentence: `3 minutes`. */
export function longSpan(ms: number): string {
  const [unit, size] =
    ms < 60_000 ? (['second', 1000] as const) : ms < 3_600_000 ? (['minute', 60_000] as const) : HOURS
  return ms >= 172_800_000 ? counted(Math.round(ms / 86_400_000), 'day') : counted(Math.round(ms / size), unit)
}

const HOURS = ['hour', 3_600_000] as const
