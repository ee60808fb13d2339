import { assume } from '../support/assume'
import { documented } from './document'

const text = [
  'Before.',
  '<!-- faults: written by npm run test:faults -- --document -->',
  '| | fault | promise | measured: median, worst |',
  '| --- | --- | --- | --- |',
  '| F1 | a server is killed | gone | 1 ms |',
  '| F2 | it was renamed since | gone | 2 ms |',
  '<!-- /faults -->',
  'After.'
].join('\n')
const order = [
  { id: 'F1', fault: 'a server is killed' },
  { id: 'F3', fault: 'Redis is flushed' }
]

describe('the table of faults in docs/reliability.md', () => {
  it('gets measured rows in their order, keeps others, and loses those that are gone', () => {
    const line = '| F3 | Redis is flushed | right | 3 ms |'
    const rows = documented(text, order, [{ id: 'F3', fault: 'Redis is flushed', line }]).split('\n')
    assume(rows).eql([...text.split('\n').slice(0, 5), line, '<!-- /faults -->', 'After.'])
  })

  it('is not written into a document without its place', () => {
    assume(() => documented('Nothing here.', order, [])).throws(/has no table/)
  })
})
