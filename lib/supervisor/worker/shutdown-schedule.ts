/** When the steps of a worker's shutdown must be done, in ms after the order to end. */
export interface ShutdownSchedule {
  /** The sparks are ended evenly over this time, if the usual rate would take longer. */
  readonly spreadMoves: number
  /** All sparks have moved to other servers. */
  readonly moveSparks: number
  /** Connections to the public port of Primus that are left are closed. */
  readonly leavePort: number
  /** Idle connections to other HTTP servers of the process are closed. */
  readonly closeIdle: number
  /** The shutdown goes on, even if Primus has not been destroyed. */
  readonly destroyPrimus: number
  /** All connections that are left are closed. */
  readonly closeAll: number
  /** The process exits, even if its output has not been flushed. The supervisor kills it after the grace period. */
  readonly flushOutput: number
}

/** The shutdown schedule of a worker with a grace period of `grace` ms. */
export function schedule(grace: number): ShutdownSchedule {
  return {
    spreadMoves: grace * 0.48,
    moveSparks: grace * 0.6,
    leavePort: grace * 0.8,
    closeIdle: grace * 0.8,
    destroyPrimus: grace * 0.9,
    closeAll: grace * 0.9,
    flushOutput: grace * 0.97
  }
}
