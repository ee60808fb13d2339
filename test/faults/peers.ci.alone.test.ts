import { peers } from './peers'
import { provoke } from './provoke'

provoke(peers)
