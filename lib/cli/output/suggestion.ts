import { distance } from '../../common/validate'

/** The most similar of these words, as a sentence that follows another one; `''` when none is similar. */
export function didYouMean(given: string, known: Iterable<string>): string {
  let best: { word: string; off: number } | undefined
  for (const word of known) {
    const off = distance(given.toLowerCase(), word.toLowerCase())
    if (off <= Math.max(2, Math.floor(word.length / 4)) && off < (best?.off ?? Infinity)) best = { word, off }
  }
  return best === undefined ? '' : ` Did you mean ${best.word}?`
}
