/** The version of metroplex that peers read in the registry. */
export const VERSION = '2.0.0-rc.1'
