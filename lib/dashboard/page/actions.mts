import type { ActionAnswer, DrainAnswer } from '../wire.js'
import { ask } from './ask.mjs'
import { confirmed } from './dialog.mjs'
import { counted, foreign, h, type Child } from './dom.mjs'

/** What a message, or an end, is for. */
export type Kind = 'spark' | 'user' | 'group' | 'all'

/** What became of an action, in a sentence. */
export function outcome(done: string, { send, missing, failed }: ActionAnswer): string {
  const lost = missing.length === 0 ? [] : [`Not there: ${missing.join(', ')}.`]
  return [`${done} ${counted(send, 'spark')}.`, ...lost, ...failed].join(' ')
}

function field(text: string, control: Child): HTMLElement {
  return h('label', {}, h('span', {}, text), control)
}

/** Ask whether to end sparks, and end them. */
export function endSparks(kind: Kind, name: string, sparks: number): Promise<void> {
  const whose = { spark: 'the spark', user: `${counted(sparks, 'spark')} of the user`, group: '', all: '' }[kind]
  return confirmed({
    question: h(
      'span',
      {},
      `End ${kind === 'group' ? `${counted(sparks, 'spark')} in the group` : whose} `,
      foreign(name),
      '?'
    ),
    body: [
      h('p', {}, 'The connections of these clients are closed.'),
      h('label', { class: 'line' }, h('input', { type: 'checkbox', name: 'reconnect' }), 'Their clients reconnect'),
      kind === 'user' &&
        field(
          'Keep the user out for so many minutes',
          h('input', { type: 'number', name: 'minutes', min: 0, max: 35_000, step: 'any', placeholder: 'not at all' })
        )
    ],
    verb: 'End',
    act: async form => {
      const minutes = textOf(form, 'minutes')
      const body = {
        kind,
        name,
        reconnect: form.get('reconnect') !== null,
        ...(minutes !== '' && { for: Math.round(Number(minutes) * 60_000) })
      }
      return outcome('Ended', await ask<ActionAnswer>('end', {}, body))
    }
  })
}

/** Ask whether to drain a server, and have it drain. */
export function drainServer(address: string, name: string, sparks: number): Promise<void> {
  return confirmed({
    question: h('span', {}, 'Drain ', foreign(name || address), ` with ${counted(sparks, 'spark')}?`),
    body: [
      h(
        'p',
        {},
        'It takes no new sparks, moves its own to other servers, and leaves the registry. Its process goes on.'
      ),
      field(
        'Sparks that it ends in a second, at most',
        h('input', { type: 'number', name: 'rate', min: 0.1, step: 'any', value: 100 })
      ),
      field(
        'Seconds after which those that are left stay',
        h('input', { type: 'number', name: 'seconds', min: 0, step: 1, value: 60 })
      )
    ],
    verb: 'Drain',
    act: async form => {
      const terms = { rate: Number(textOf(form, 'rate')), timeout: Number(textOf(form, 'seconds')) * 1000 }
      const begun = await ask<DrainAnswer>('drain', {}, { address, ...terms })
      return `It drains: it has ${counted(begun.sparks, 'spark')}.`
    }
  })
}

/** The text of a field of a form; `''` without it. */
export function textOf(form: FormData, name: string): string {
  const value = form.get(name)
  return typeof value === 'string' ? value : ''
}
