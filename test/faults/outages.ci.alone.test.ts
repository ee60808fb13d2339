import { outages } from './outages'
import { provoke } from './provoke'

provoke(outages)
