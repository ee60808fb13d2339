import rooms from './index.js'

// The same objects as `require('metroplex/rooms')` returns, as named exports.
export const { RoomsAdapter } = rooms
export type RoomsAdapter = InstanceType<typeof rooms.RoomsAdapter>
export default rooms
export type { RoomsAdapterOptions, RoomsBroadcast, RoomsCallback } from './index.js'
