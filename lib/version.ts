/** Our version, as peers read it. */
export const VERSION = '2.0.0-rc.1'
