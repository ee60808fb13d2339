import type { Examination } from './examination'
import { pushTo } from '../../common/multimap'
import { counted } from '../../reporting/quantity-text'
import { bySeverity, type Finding } from './finding'
import { redisFindings } from './redis-findings'
import { registryFindings } from './registry-findings'
import { serverFindings } from './server-findings'

/** More findings with one code and remedy are told as one. */
const MOST_ALIKE = 4

/** All findings, the worst first. */
export function diagnose(examined: Examination): Finding[] {
  const all = [...registryFindings(examined), ...serverFindings(examined), ...redisFindings(examined)]
  const alike = new Map<string, Finding[]>()
  for (const finding of all) pushTo(alike, `${finding.code} ${finding.severity} ${finding.remedy}`, finding)
  return [...alike.values()].flatMap(together).sort(bySeverity)
}

/** Many findings of one kind as one, which names all their servers. */
function together(findings: readonly Finding[]): readonly Finding[] {
  const [first] = findings
  if (first === undefined || findings.length <= MOST_ALIKE) return findings
  const servers = [...new Set(findings.flatMap(finding => finding.servers))]
  const others = counted(findings.length - 1, 'more finding')
  return [{ ...first, what: `${first.what} There are ${others} of this kind: --json lists the servers.`, servers }]
}
