import { provoke } from './provoke'
import { supervised } from './supervised'

provoke(supervised)
