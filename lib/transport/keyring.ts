/** What a cluster signs with. */
export interface Keyring {
  /** The secrets that are valid; the first one signs. Empty while none is known. */
  readonly secrets: readonly string[]
  /** Look again which they are: a peer has refused what was signed with them. */
  refresh(): Promise<void>
}
