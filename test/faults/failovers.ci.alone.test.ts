import { failovers } from './failovers'
import { provoke } from './provoke'

provoke(failovers)
