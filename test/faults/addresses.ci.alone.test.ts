import { addresses } from './addresses'
import { provoke } from './provoke'

provoke(addresses)
