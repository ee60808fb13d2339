type Arguments = readonly (string | number)[]

/** How the verbs of a registry ask Redis. */
export interface Verbs {
  /** Run a command, or a script by its name. */
  run(name: string, args: Arguments): Promise<unknown>
  /** As `run`, where a list is answered. @throws MetroplexError `EREGISTRY` when it is none */
  list(name: string, args: Arguments): Promise<unknown[]>
  /** As `list`, on a slice that may be as large as it likes: the next one is larger or smaller by how long it takes. */
  timed(name: string, args: Arguments): Promise<unknown[]>
  /** Several commands in one round trip. */
  pipeline(commands: readonly (readonly [name: string, ...args: (string | number)[]])[]): Promise<unknown[]>
}
