import { absent } from './absent'
import { provoke } from './provoke'

provoke(absent)
