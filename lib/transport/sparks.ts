import type { Delivered } from '../courier'
import type { Message } from '../message'
import { Malformed, type Incoming } from './envelope'
import type { Handler, Reply } from './reception'

/** What carries out messages for the sparks of this server. */
export interface Sink {
  some(ids: readonly string[], message: Message): Delivered
  all(message: Message, except: ReadonlySet<string>): Delivered
}

/**
 * How messages for sparks are carried out: `some` is for those that are named, `all` for all but those. Never more than named: anything but
 * ids that are not empty is refused together with the whole batch.
 */
export function sparkHandlers(sink: Sink): { readonly some: Handler; readonly all: Handler } {
  const handler = (carry: (ids: string[], message: Message) => Delivered): Handler => ({
    check({ to }: Incoming): void {
      const fits = Array.isArray(to) && (to as unknown[]).every(id => typeof id === 'string' && id !== '')
      if (!fits) throw new Malformed('Sparks must be named by a list of ids, strings that are not empty.')
    },
    apply({ to, message }: Incoming): Reply {
      const { send, missing } = carry(to as string[], message)
      return missing === undefined || missing.length === 0 ? send : [send, missing]
    }
  })
  return {
    // Each once, however often a sender names it.
    some: handler((ids, message) => sink.some(ids.length > 1 ? [...new Set(ids)] : ids, message)),
    all: handler((ids, message) => sink.all(message, new Set(ids)))
  }
}
