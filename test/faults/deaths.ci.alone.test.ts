import { deaths } from './deaths'
import { provoke } from './provoke'

provoke(deaths)
