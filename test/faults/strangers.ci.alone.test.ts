import { strangers } from './strangers'
import { provoke } from './provoke'

provoke(strangers)
