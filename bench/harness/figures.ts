/** The value below which a share of them lies: `quantile(times, 0.99)`. */
export function quantile(values: Iterable<number>, share: number): number {
  const sorted = Float64Array.from(values).sort()
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN
}

/** The middle one, or the mean of the two in the middle. */
export function median(values: Iterable<number>): number {
  const sorted = Float64Array.from(values).sort()
  const half = sorted.length / 2
  return ((sorted[Math.ceil(half) - 1] ?? NaN) + (sorted[Math.floor(half)] ?? NaN)) / 2
}

/** A number with three digits that count, and thousands apart: `2.31`, `14.2`, `2 310`. */
export function shown(value: number): string {
  if (!Number.isFinite(value)) return '?'
  const rounded = Number(value.toPrecision(3))
  const decimals = rounded === 0 ? 0 : Math.max(0, 2 - Math.floor(Math.log10(Math.abs(rounded))))
  const digits = rounded.toFixed(decimals)
  return decimals > 0 ? digits : digits.replace(/\B(?=(\d{3})+$)/g, ' ')
}

/** The median of several rounds with their range: `2.31 (2.20 to 2.50)`; a dash for none. */
export function spread(values: readonly number[]): string {
  if (values.length === 0) return '–'
  if (values.length < 2) return shown(values[0] ?? NaN)
  return `${shown(median(values))} (${shown(Math.min(...values))} to ${shown(Math.max(...values))})`
}

/**
 * By which power one thing grows with another: the slope of the straight line through the logarithms that is nearest to
 * them (least squares). 0: not at all; 1: in proportion; 2: with the square. What is not above 0 has no logarithm, and
 * is left out.
 */
export function exponent(points: readonly (readonly [x: number, y: number])[]): number {
  const logs = points.filter(([x, y]) => x > 0 && y > 0).map(([x, y]) => [Math.log(x), Math.log(y)] as const)
  const mean = (of: (point: readonly [number, number]) => number): number =>
    logs.reduce((sum, point) => sum + of(point), 0) / logs.length
  const [x, y] = [mean(([x]) => x), mean(([, y]) => y)]
  return mean(point => (point[0] - x) * (point[1] - y)) / mean(point => (point[0] - x) ** 2)
}
