import type { ActionAnswer, ServersAnswer } from '../wire.js'
import { outcome, textOf, type Kind } from './actions.mjs'
import { ask } from './ask.mjs'
import { confirmed } from './dialog.mjs'
import { h, show } from './dom.mjs'
import type { Place, View } from './links.mjs'

const KINDS: readonly (readonly [Kind, string])[] = [
  ['spark', 'one spark'],
  ['user', 'all sparks of a user'],
  ['group', 'all sparks in a group'],
  ['all', 'all sparks of the cluster']
]

/** A message to a spark, a user, a group, or all. */
export function sendView(root: Element, { query }: Place): View {
  const chosen = query.get('kind') ?? 'user'
  const said = h('p', { role: 'status' })
  const say = (text: string, bad = false): void => {
    said.className = bad ? 'bad' : ''
    said.textContent = text
  }
  const name = h('input', { name: 'name', value: query.get('name') ?? '', autocomplete: 'off', maxlength: 1024 })
  const nameLabel = h('label', {}, h('span', {}, 'Its id or name'), name)
  const kinds = h(
    'select',
    {
      name: 'kind',
      onchange: () => {
        nameLabel.hidden = (kinds as HTMLSelectElement).value === 'all'
      }
    },
    ...KINDS.map(([kind, text]) => h('option', { value: kind, selected: kind === chosen }, text))
  )
  nameLabel.hidden = chosen === 'all'
  const form = h(
    'form',
    {
      class: 'narrow',
      onsubmit: event => {
        event.preventDefault()
        send(new FormData(form as HTMLFormElement)).catch((error: unknown) => {
          say((error as Error).message, true)
        })
      }
    },
    h('label', {}, h('span', {}, 'To'), kinds),
    nameLabel,
    h('label', {}, h('span', {}, 'Message'), h('textarea', { name: 'message', spellcheck: 'false', required: true })),
    h('label', { class: 'line' }, h('input', { type: 'checkbox', name: 'text' }), 'The message is text, and not JSON'),
    h('div', { class: 'bar' }, h('button', { class: 'primary', type: 'submit' }, 'Send')),
    said
  )
  const send = async (data: FormData): Promise<void> => {
    const message = messageOf(data)
    const body = { kind: textOf(data, 'kind'), name: textOf(data, 'name'), message }
    const act = async (): Promise<string> => outcome('Sent to', await ask<ActionAnswer>('send', {}, body))
    if (body.kind !== 'all') {
      say('Working…')
      say(await act())
      return
    }
    await confirmed({ question: 'Send the message to all sparks of the cluster?', verb: 'Send to all', act })
  }
  let drawn = false
  return {
    title: 'Send',
    every: 10_000,
    load: async () => {
      const { head } = await ask<ServersAnswer>('servers')
      // What was typed stays.
      if (!drawn)
        show(
          root,
          h('h1', {}, 'Send'),
          head.readOnly ? h('p', {}, 'This page only shows: it was started read-only.') : form
        )
      drawn = true
      return head
    }
  }
}

function messageOf(data: FormData): unknown {
  const given = textOf(data, 'message')
  if (data.get('text') !== null) return given
  try {
    return JSON.parse(given) as unknown
  } catch {
    throw new Error('The message is not JSON: put quotes around text, or say that it is text.')
  }
}
