import { origin } from './origin'
import { provoke } from './provoke'

provoke(origin)
