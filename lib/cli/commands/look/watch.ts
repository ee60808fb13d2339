import { Command, Option } from 'commander'
import { explained, misuse } from '../../output/failure'
import { json, printable } from '../../output/printable'
import { counted } from '../../../reporting/quantity-text'
import { didYouMean } from '../../output/suggestion'
import { ChangeWatcher, WATCHED, type ClusterEvent } from '../../../survey/changes'
import { asks, pause, userEnds } from '../command-run'
import { secondsOf, severalTexts } from '../arguments'

interface Options {
  readonly only?: readonly string[]
  readonly every: number
}

/** `metroplex watch`: what happens, as it happens. */
export const watch = asks<Options>(
  new Command('watch')
    .description('Tell what happens to the servers, as it happens: join, leave, drain, reap, heal.')
    .addOption(
      new Option('-o, --only <event>', `only this event; may be repeated: ${WATCHED.join(', ')}`).argParser(
        (given: string, before?: readonly string[]) => severalTexts(given, before)
      )
    )
    .option('-e, --every <seconds>', 'how often to look', secondsOf, 1)
    .addHelpText(
      'after',
      `
It looks at the registry, and asks each server, every second. So it tells what has changed between two looks, and not
what began and ended between them.

Example:
  $ metroplex watch --only join --only leave --json`
    ),
  async ({ session, output, options: { only, every } }) => {
    const changes = new ChangeWatcher(session)
    const ended = userEnds()
    let away = false
    const tell = (event: ClusterEvent): Promise<void> | undefined =>
      only === undefined || only.includes(event.event) ? output.write([lineOf(event, output.json)]) : undefined
    await changes.look()
    output.note(`Watching ${counted(changes.servers, 'server')}.`)
    for (;;) {
      await pause(every * 1000, ended)
      if (ended.aborted) return undefined
      try {
        const events = await changes.look()
        if (away) await tell(registry({ state: 'back' }))
        away = false
        for (const event of events) await tell(event)
      } catch (error) {
        if (!away) await tell(registry({ state: 'away', error: explained(error).sentence }))
        away = true
      }
    }
  },
  ({ only = [] }) => {
    const unknown = only.find(event => !(WATCHED as readonly string[]).includes(event))
    if (unknown !== undefined)
      throw misuse(
        `--only does not know ${printable(unknown)}.${didYouMean(unknown, WATCHED)} It knows ${WATCHED.join(', ')}.`
      )
  }
)

function registry(detail: ClusterEvent['detail']): ClusterEvent {
  return { event: 'registry', address: '', name: '', detail }
}

function lineOf({ event, address, name, detail }: ClusterEvent, asJson: boolean): string {
  const now = new Date()
  if (asJson) return json({ at: now.toISOString(), event, address, name, ...detail })
  const details = Object.entries(detail).map(([key, value]) => `${key} ${printable(String(value))}`)
  const server = address === '' ? 'Redis' : `${printable(address)} (${printable(name || '1.x')})`
  return `${now.toTimeString().slice(0, 8)}  ${event.padEnd(8)}  ${server}  ${details.join(', ')}`.trimEnd()
}
