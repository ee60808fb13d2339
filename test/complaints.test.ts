import { besides, ThrottledReports } from '../lib/reporting/throttled-reports'
import { assume } from './support/assume'
import { eventually } from './support/wait'

describe('complaints', () => {
  it('report one failure of a kind within the pause, and then how many were withheld', async () => {
    const reported: string[] = []
    const complaints = new ThrottledReports(error => {
      reported.push(error.message)
    }, 200)
    const complain = (kind: string): void => {
      complaints.complain(kind, withheld => new Error(`${kind}.${besides(withheld)}`))
    }
    for (let i = 0; i < 100; i++) complain('bad')
    complain('worse')
    assume(reported).eql(['bad.', 'worse.'])
    let more = 0
    await eventually(() => {
      complain('bad')
      more++
      return reported.length === 3
    })
    assume(reported[2]).equals(`bad. ${99 + more - 1} more of this kind were not reported.`)
  })

  it('make no error of what is withheld', () => {
    let made = 0
    const complaints = new ThrottledReports(() => undefined)
    for (let i = 0; i < 100; i++) {
      complaints.complain('bad', () => {
        made++
        return new Error('bad')
      })
    }
    assume(made).equals(1)
  })
})
