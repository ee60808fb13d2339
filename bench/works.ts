import { broadcast, sockjs } from './broadcast'
import { forward } from './forward'
import type { Work } from './harness/work'
import { lookup } from './lookup'
import { register } from './register'
import { sparks } from './sparks'

/** All there is to measure, in the order in which it is. */
export const works: readonly Work[] = [register, lookup, forward, sparks, broadcast, sockjs]
