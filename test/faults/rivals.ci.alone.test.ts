import { provoke } from './provoke'
import { rivals } from './rivals'

provoke(rivals)
