import { presenceFaults } from './presence'
import { provoke } from './provoke'

provoke(presenceFaults)
