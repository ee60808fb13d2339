import type { Delivered } from '../courier'
import { Message } from '../message'
import { Malformed, type Incoming } from './envelope'
import type { Handler, Reply } from './reception'

/** What carries out messages for the sparks of this server. */
export interface Sink {
  some(ids: readonly string[], message: Message): Delivered
  all(message: Message, except: ReadonlySet<string>): Delivered
}

/**
 * How messages for sparks are carried out: `some` is for those that are named, `all` for all but those, and `end` ends those that are named. Never more than
 * named: anything but ids that are not empty is refused together with the whole batch.
 */
export function sparkHandlers(sink: Sink): { readonly some: Handler; readonly all: Handler; readonly end: Handler } {
  const handler = (carry: (ids: string[], message: Message) => Delivered, fits: (message: Message) => void = anything): Handler => ({
    check({ to, message }: Incoming): void {
      const named = Array.isArray(to) && (to as unknown[]).every(id => typeof id === 'string' && id !== '')
      if (!named) throw new Malformed('Sparks must be named by a list of ids, strings that are not empty.')
      fits(message)
    },
    apply({ to, message }: Incoming): Reply {
      const { send, missing } = carry(to as string[], message)
      return missing === undefined || missing.length === 0 ? send : [send, missing]
    }
  })
  return {
    // Each once, however often a sender names it.
    some: handler((ids, message) => sink.some(ids.length > 1 ? [...new Set(ids)] : ids, message)),
    all: handler((ids, message) => sink.all(message, new Set(ids))),
    end: handler((ids, message) => sink.some([...new Set(ids)], Message.ending(comesBack(message) === true)), message => {
      if (comesBack(message) === undefined) throw new Malformed('What ends sparks must be { "reconnect": true } or { "reconnect": false }.')
    })
  }
}

function anything(): void {
  // A message may be any value.
}

/** Whether those who are ended are to come back; `undefined`: it does not say. */
function comesBack({ value }: Message): boolean | undefined {
  const { reconnect } = (value ?? {}) as { readonly reconnect?: unknown }
  return typeof reconnect === 'boolean' ? reconnect : undefined
}
