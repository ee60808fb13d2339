/** When a user or group began. */
export interface PresenceBegan {
  /**
   * The number of this event. It grows from event to event of one user or group, and is the same when an event is told
   * again: store it, and ignore an event whose number is not above the stored one.
   */
  readonly at: number
}

/** When a user or group ended. */
export interface PresenceEnded extends PresenceBegan {
  /** When its last spark had gone, by Redis's clock, in epoch ms. */
  readonly since: number
}

/**
 * What `watch` tells. A handler may return a promise. One that throws, rejects, or has not settled within twice
 * `timeout` is called again, on this server or another one.
 */
export interface WatchHandlers {
  /** A user has its first spark. */
  online?(user: string, event: PresenceBegan): unknown
  /** The last spark of a user has been gone for `grace`. */
  offline?(user: string, event: PresenceEnded): unknown
  /** A group has its first spark. */
  occupied?(group: string, event: PresenceBegan): unknown
  /** The last spark in a group has been gone for `grace`. */
  vacated?(group: string, event: PresenceEnded): unknown
}
