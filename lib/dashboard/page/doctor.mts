import type { DoctorAnswer } from '../wire.js'
import { ask } from './ask.mjs'
import { unawaited } from './banner.mjs'
import { counted, h, show } from './dom.mjs'
import { serverLink, type View } from './links.mjs'

/** What is wrong with Redis and the servers, and what to do. */
export function doctorView(root: Element): View {
  const view: View = {
    title: 'Doctor',
    load: async () => {
      show(root, h('h1', {}, 'Doctor'), h('p', { class: 'dim' }, 'Asking Redis and all servers…'))
      const { head, findings, scanned } = await ask<DoctorAnswer>('doctor')
      const seen = `${counted(head.alive, 'live server')}, ${counted(scanned, 'spark')} looked at`
      show(
        root,
        h('h1', {}, 'Doctor'),
        h('p', { class: 'dim' }, `${counted(findings.length, 'finding')}: ${seen}.`),
        findings.length === 0 && h('p', { class: 'good' }, 'Nothing is wrong.'),
        ...findings.map(({ code, severity, what, remedy, servers }) =>
          h(
            'section',
            { class: `card ${severity}` },
            h('h3', {}, `${code} `, h('small', {}, severity)),
            h('p', {}, what),
            h('p', {}, h('b', {}, 'To do: '), remedy),
            servers.length > 0 &&
              h('p', {}, ...servers.slice(0, 10).flatMap((address, i) => [i > 0 && ', ', serverLink(address)]))
          )
        ),
        h('div', { class: 'bar' }, h('button', { onclick: () => unawaited(view.load()) }, 'Examine again'))
      )
      return head
    }
  }
  return view
}
