/**
 * The page with which people see and operate a cluster; `require('metroplex/dashboard')`.
 *
 * @example
 * const { dashboard } = require('metroplex/dashboard')
 * const page = dashboard({ redis: new Redis(), namespace: 'chat' })
 * require('http').createServer(page).listen(8090, '127.0.0.1')
 */
export { dashboard, type Dashboard } from './dashboard'
export type { DashboardOptions } from './options'
