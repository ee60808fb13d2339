import entry from './index.js'

// The same function as `require('metroplex/dashboard')` returns, as a named export.
export const { dashboard } = entry
export default entry
export type { Dashboard, DashboardOptions } from './index.js'
