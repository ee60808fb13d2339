import { order } from './order'
import { provoke } from './provoke'

provoke(order)
