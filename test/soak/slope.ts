/** A line through points, by least squares: how steep it is, and how sure that is. */
export interface Slope {
  /** Units of y for one of x. */
  readonly slope: number
  /** Its standard error. */
  readonly error: number
}

/** The slope of the line that fits best. @see https://en.wikipedia.org/wiki/Simple_linear_regression */
export function slopeOf(points: readonly (readonly [x: number, y: number])[]): Slope {
  const n = points.length
  const mean = (of: (point: readonly [number, number]) => number): number =>
    points.reduce((sum, point) => sum + of(point), 0) / n
  const [mx, my] = [mean(([x]) => x), mean(([, y]) => y)]
  const spread = points.reduce((sum, [x]) => sum + (x - mx) ** 2, 0)
  const slope = points.reduce((sum, [x, y]) => sum + (x - mx) * (y - my), 0) / spread
  const rest = points.reduce((sum, [x, y]) => sum + (y - my - slope * (x - mx)) ** 2, 0)
  return { slope, error: Math.sqrt(rest / (n - 2) / spread) }
}
