import { workers } from './workers'
import { provoke } from './provoke'

provoke(workers)
