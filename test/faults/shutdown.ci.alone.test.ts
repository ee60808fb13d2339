import { shutdown } from './shutdown'
import { provoke } from './provoke'

provoke(shutdown)
