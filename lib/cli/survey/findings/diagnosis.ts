import type { Examination } from './examination'
import { bySeverity, type Finding } from './finding'
import { redisFindings } from './redis-findings'
import { registryFindings } from './registry-findings'
import { serverFindings } from './server-findings'

/** All findings, the worst first. */
export function diagnose(examined: Examination): Finding[] {
  return [...registryFindings(examined), ...serverFindings(examined), ...redisFindings(examined)].sort(bySeverity)
}
