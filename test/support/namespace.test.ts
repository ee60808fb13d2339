import { assume } from './assume'
import { namespace } from './namespace'

describe('support: namespaces', () => {
  it('are never the same, and safe inside a key', () => {
    const one = namespace()
    assume(one).does.not.equal(namespace())
    assume(one).matches(/^[\w-]+$/)
  })
})
