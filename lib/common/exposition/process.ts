import { performance } from 'node:perf_hooks'
import type { Family, Sample } from './family'

/**
 * The numbers of this process. They have a prefix of their own, because libraries export numbers of the process under
 * the usual names.
 */
export function processFamilies(): Family[] {
  const { user, system } = process.cpuUsage()
  const { active, idle } = performance.eventLoopUtilization()
  const one = (value: number): Sample[] => [{ labels: {}, value }]
  return [
    {
      name: 'metroplex_process_cpu_seconds_total',
      type: 'counter',
      help: 'CPU time of the process, in user and system mode.',
      samples: one((user + system) / 1e6)
    },
    {
      name: 'metroplex_process_resident_memory_bytes',
      type: 'gauge',
      help: 'Resident memory of the process.',
      samples: one(process.memoryUsage.rss())
    },
    {
      name: 'metroplex_process_start_time_seconds',
      type: 'gauge',
      help: 'When the process started, since 1970.',
      samples: one(Math.round(performance.timeOrigin) / 1000)
    },
    {
      name: 'metroplex_event_loop_active_seconds_total',
      type: 'counter',
      help: 'Time in which the event loop ran code.',
      samples: one(active / 1000)
    },
    {
      name: 'metroplex_event_loop_idle_seconds_total',
      type: 'counter',
      help: 'Time in which the event loop waited for events.',
      samples: one(idle / 1000)
    }
  ]
}
