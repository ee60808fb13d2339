import { hostile } from './hostile'
import { provoke } from './provoke'

provoke(hostile)
