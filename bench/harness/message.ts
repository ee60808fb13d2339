/** What is sent: as much of it that its JSON text has 200 bytes. */
export interface Message {
  /** Seven digits; no two messages of one server have the same. */
  readonly n: number
  readonly text: string
}

const BYTES = 200
const text = 'x'.repeat(BYTES - JSON.stringify({ n: 1_000_000, text: '' }).length)
let last = 999_999

/** The next message of this process. */
export function nextMessage(): Message {
  return { n: ++last, text }
}
