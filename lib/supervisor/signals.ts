/** What the signals of a process mean to its supervisor. */
export interface Wishes {
  /** End all workers, and then this process. */
  readonly stop: () => void
  /** Replace all workers. */
  readonly recycle: () => void
}

/** Obey signals. They may come more than once: a terminal and whatever stands between both send one. @returns what ends that */
export function obey({ stop, recycle }: Wishes): () => void {
  const signals: [NodeJS.Signals, () => void][] = [['SIGTERM', stop], ['SIGINT', stop], ['SIGUSR2', recycle]]
  for (const [signal, wish] of signals) process.on(signal, wish)
  return () => {
    for (const [signal, wish] of signals) process.removeListener(signal, wish)
  }
}
