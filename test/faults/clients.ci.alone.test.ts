import { clients } from './clients'
import { provoke } from './provoke'

provoke(clients)
