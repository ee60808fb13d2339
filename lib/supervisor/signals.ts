import { ignore } from '../common/callback'

/** What the signals of a supervisor's process trigger. */
export interface Wishes {
  /** End all workers, and then this process. */
  readonly stop: () => void
  /** Replace all workers. */
  readonly recycle: () => void
}

/** The message that PM2 sends instead of SIGINT, with its option `shutdown_with_message`. */
const SHUTDOWN = 'shutdown'

/**
 * Handles the signals of a supervisor, and the message with which PM2 tells a process to end. A signal may come twice,
 * from the terminal and from a process in between.
 *
 * @returns a function that stops it
 */
export function handleSignals({ stop, recycle }: Wishes): () => void {
  const removeSignalHandlers = listen({ SIGTERM: stop, SIGINT: stop, SIGHUP: stop, SIGUSR2: recycle })
  const handleMessage = (message: unknown): void => {
    if (message === SHUTDOWN) stop()
  }
  process.on('message', handleMessage)
  return () => {
    removeSignalHandlers()
    process.removeListener('message', handleMessage)
  }
}

/** Ignores these signals from now on, because this process is about to exit. */
export function ignoreSignals(): void {
  listen({ SIGTERM: ignore, SIGINT: ignore, SIGHUP: ignore, SIGUSR2: ignore })
}

function listen(wishes: Partial<Record<NodeJS.Signals, () => void>>): () => void {
  const signals = Object.entries(wishes) as [NodeJS.Signals, () => void][]
  for (const [signal, wish] of signals) process.on(signal, wish)
  return () => {
    for (const [signal, wish] of signals) process.removeListener(signal, wish)
  }
}
