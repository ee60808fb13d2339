import { tracingChannel } from 'node:diagnostics_channel'

/** A forward: what the channel `metroplex:forward` tells. */
export interface ForwardTrace {
  /** The method of `forward`; `'servers'` for `forward` itself. */
  readonly method: 'spark' | 'sparks' | 'user' | 'group' | 'broadcast' | 'except' | 'servers'
  /** How many ids, names or addresses were given; 0 for `broadcast`. */
  readonly targets: number
}

/** A call of methods of servers: what `metroplex:call` tells. */
export interface CallTrace {
  /** How it is called. */
  readonly how: 'call' | 'first' | 'apply'
  /** The name of the method, as the caller has given it. */
  readonly method: unknown
}

/** An event for servers: what `metroplex:publish` tells. */
export interface PublishTrace {
  /** The type of the event, as the caller has given it. */
  readonly type: unknown
}

/** A question to one client: what `metroplex:request` tells. */
export interface RequestTrace {
  /** The id of the spark. */
  readonly spark: string
}

/** A message of another server for sparks of this one: what `metroplex:deliver` tells. */
export interface DeliverTrace {
  /** To listed sparks, to all but the listed ones, or to groups. */
  readonly to: 'some' | 'all' | 'group'
  /** How many ids or groups are listed. */
  readonly targets: number
  /** The node id of the process that has sent it. */
  readonly from: string
}

/** A call, event or request that this server answers: what `metroplex:answer` tells. */
export interface AnswerTrace {
  readonly kind: 'call' | 'event' | 'request'
  /** The registered method, the type of the event, or the id of the spark. */
  readonly name: string
  /** The address of the process that asks; `''` for one without an address. */
  readonly from: string
  /** Whether this process asks itself. */
  readonly local: boolean
}

/**
 * The channels of `node:diagnostics_channel` on which operations are traced. They carry what an operation is and how it
 * ended, and never a message. Without a subscriber an operation asks one flag.
 */
export const forwardChannel = tracingChannel<unknown, ForwardTrace>('metroplex:forward')
export const callChannel = tracingChannel<unknown, CallTrace>('metroplex:call')
export const publishChannel = tracingChannel<unknown, PublishTrace>('metroplex:publish')
export const requestChannel = tracingChannel<unknown, RequestTrace>('metroplex:request')
export const deliverChannel = tracingChannel<unknown, DeliverTrace>('metroplex:deliver')
export const answerChannel = tracingChannel<unknown, AnswerTrace>('metroplex:answer')

type Channel<Context extends object> = ReturnType<typeof tracingChannel<unknown, Context>>

/** Run an operation, and trace it if the channel has a subscriber. */
export function traced<Context extends object, T>(
  channel: Channel<Context>,
  context: Context,
  work: () => Promise<T>
): Promise<T> {
  return channel.hasSubscribers ? channel.tracePromise(work, context) : work()
}
