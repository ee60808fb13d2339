import type { SupervisorEvents } from '../../lib/supervisor'

/** All that a supervisor tells. */
export const EVENTS = [
  'online',
  'ready',
  'ended',
  'death',
  'recycle',
  'memory',
  'drain',
  'resume',
  'flapping',
  'message',
  'ops',
  'output',
  'error'
] as const satisfies readonly (keyof SupervisorEvents)[]
