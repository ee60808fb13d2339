import { ownership } from './ownership'
import { provoke } from './provoke'

provoke(ownership)
