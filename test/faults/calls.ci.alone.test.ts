import { calls } from './calls'
import { provoke } from './provoke'

provoke(calls)
