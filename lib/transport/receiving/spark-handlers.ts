import type { Delivered } from '../../common/peer-sender'
import { Message } from '../../common/encoded-message'
import { deliverChannel } from '../../reporting/tracing'
import { Malformed, type ReceivedMessage, type Reply } from '../envelope'
import type { MessageHandler } from './inbox'

/** Writes messages to the sparks of this server. */
export interface Sink {
  some(ids: readonly string[], message: Message): Delivered
  all(message: Message, except: ReadonlySet<string>): Delivered
  /** To sparks in groups. `missing`: the groups that no spark here is in. */
  groups(groups: readonly string[], message: Message, except: ReadonlySet<string>): Delivered
}

/**
 * The handlers of messages for sparks: `some` writes to the listed sparks, `all` to all but the listed ones, `group` to
 * those in the listed groups, `end` and `endgroup` end them. A list with anything but names refuses the whole batch, so
 * no other spark is reached.
 */
export function sparkHandlers(sink: Sink): {
  readonly some: MessageHandler
  readonly all: MessageHandler
  readonly end: MessageHandler
  readonly group: MessageHandler
  readonly endgroup: MessageHandler
} {
  const handler = (
    apply: (ids: string[], message: Message) => Delivered,
    check: (message: Message) => void = anything
  ): MessageHandler => ({
    check({ to, message }: ReceivedMessage): void {
      if (!areNames(to)) throw new Malformed('Sparks must be named by a list of ids, strings that are not empty.')
      check(message)
    },
    apply: ({ to, kind, from, message }: ReceivedMessage): Reply => {
      const ids = to as string[]
      if (!deliverChannel.hasSubscribers || kind === 'end') return reply(apply(ids, message))
      const context = { to: kind === 'all' ? kind : 'some', targets: ids.length, from } as const
      return reply(deliverChannel.traceSync(() => apply(ids, message), context))
    }
  })
  const groupHandler = (
    content: (message: Message) => Message,
    check: (message: Message) => void = anything
  ): MessageHandler => ({
    check({ to, message }: ReceivedMessage): void {
      if (!Array.isArray(to) || to.length !== 2 || !(to as unknown[]).every(areNames))
        throw new Malformed('Groups must be [names, ids that are left out]: lists of strings that are not empty.')
      check(message)
    },
    apply({ to, kind, from, message }: ReceivedMessage): Reply {
      const [groups, except] = to as [string[], string[]]
      const write = (): Delivered => sink.groups([...new Set(groups)], content(message), new Set(except))
      if (!deliverChannel.hasSubscribers || kind === 'endgroup') return reply(write())
      return reply(deliverChannel.traceSync(write, { to: 'group', targets: groups.length, from }))
    }
  })
  return {
    // A spark gets the message once, even if it is listed twice.
    some: handler((ids, message) => sink.some(ids.length > 1 ? [...new Set(ids)] : ids, message)),
    all: handler((ids, message) => sink.all(message, new Set(ids))),
    end: handler((ids, message) => sink.some([...new Set(ids)], ending(message)), checkEnding),
    group: groupHandler(message => message),
    endgroup: groupHandler(ending, checkEnding)
  }
}

/** Whether a value is a list of strings that are not empty. */
function areNames(list: unknown): list is string[] {
  return Array.isArray(list) && (list as unknown[]).every(name => typeof name === 'string' && name !== '')
}

function reply({ send, missing }: Delivered): Reply {
  return missing === undefined || missing.length === 0 ? send : [send, missing]
}

function ending(message: Message): Message {
  return Message.ending(reconnects(message) === true)
}

function checkEnding(message: Message): void {
  if (reconnects(message) === undefined)
    throw new Malformed('What ends sparks must be { "reconnect": true } or { "reconnect": false }.')
}

function anything(): void {
  // Any value is a valid message.
}

/** Whether the clients must reconnect; `undefined` if the message does not say so. */
function reconnects({ value }: Message): boolean | undefined {
  const { reconnect } = (value ?? {}) as { readonly reconnect?: unknown }
  return typeof reconnect === 'boolean' ? reconnect : undefined
}
