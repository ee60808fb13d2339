/** Lists of so many, and a last one of fewer; taken one by one, so that what comes or goes meanwhile may or may not be in them. */
export function *slices<T>(all: Iterable<T>, size: number): Generator<T[], void> {
  let slice: T[] = []
  for (const one of all) {
    slice.push(one)
    if (slice.length < size) continue
    yield slice
    slice = []
  }
  if (slice.length > 0) yield slice
}
