import { groupFaults } from './groups'
import { provoke } from './provoke'

provoke(groupFaults)
