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

/** Whether a supervisor of this process handles its signals. */
let claimed = false

/** A supervisor is to handle the signals of this process. @throws Error when another one does */
export function claimSignals(): void {
  // The first supervisor to stop would end the process, and with it the workers of the other.
  if (claimed)
    throw new Error(
      'metroplex: another supervisor of this process handles its signals already: give that one ' +
        'all types of workers, or one of them `signals: false`.'
    )
  claimed = true
}

/** Another supervisor may handle the signals. */
export function releaseSignals(): void {
  claimed = false
}

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
