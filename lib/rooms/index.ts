/**
 * The rooms of primus-rooms, kept as groups of the cluster; `require('metroplex/rooms')`.
 *
 * Code that uses primus-rooms goes on, on any number of servers:
 *
 * @example
 * const { RoomsAdapter } = require('metroplex/rooms')
 * const options = { redis: new Redis(), rooms: { adapter: new RoomsAdapter() } }
 * const chat = new Primus(server, options)
 * chat.plugin('metroplex', require('metroplex'))
 * chat.plugin('rooms', require('primus-rooms'))
 */
export { RoomsAdapter, type RoomsAdapterOptions, type RoomsBroadcast, type RoomsCallback } from './rooms-adapter'
