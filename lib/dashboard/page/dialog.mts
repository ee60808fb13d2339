import { Unanswered } from './ask.mjs'
import { unawaited } from './banner.mjs'
import { h, type Child } from './dom.mjs'

/** What a dialog asks before something is done. */
export interface Question {
  readonly question: Child
  /** More to say, and to choose. */
  readonly body?: readonly Child[]
  /** The word of the button that does it. */
  readonly verb: string
  /** Does it, and says in a sentence what became of it. */
  readonly act: (form: FormData) => Promise<string>
}

/** Ask before something is done; Escape does nothing. Resolves when the dialog is closed. */
export function confirmed({ question, body = [], verb, act }: Question): Promise<void> {
  const dialog = document.querySelector('dialog')
  if (dialog === null) return Promise.resolve()
  const said = h('p', { role: 'status' })
  const doing = h('button', { class: 'primary danger', type: 'submit' }, verb) as HTMLButtonElement
  const close = h(
    'button',
    {
      type: 'button',
      onclick: () => {
        dialog.close()
      }
    },
    'Cancel'
  )
  const run = async (form: HTMLFormElement): Promise<void> => {
    doing.disabled = true
    said.className = ''
    said.textContent = 'Working…'
    try {
      said.textContent = await act(new FormData(form))
      doing.remove()
      close.textContent = 'Close'
      close.focus()
    } catch (error) {
      said.className = 'bad'
      said.textContent = error instanceof Unanswered ? error.message : String(error)
      doing.disabled = false
    }
  }
  const form = h(
    'form',
    {
      onsubmit: event => {
        event.preventDefault()
        unawaited(run(form as HTMLFormElement))
      }
    },
    h('h2', { id: 'question' }, question),
    ...body,
    said,
    h('div', { class: 'bar end' }, close, doing)
  )
  dialog.replaceChildren(form)
  dialog.showModal()
  // Enter must not destroy anything before the question was read.
  close.focus()
  return new Promise(resolve => {
    dialog.addEventListener(
      'close',
      () => {
        resolve()
      },
      { once: true }
    )
  })
}
