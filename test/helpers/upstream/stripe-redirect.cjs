/**
 * Required by a program before its own code: what it would send to api.stripe.com by TLS goes to the stand-in whose
 * address is in STRIPE_STAND_IN, in the clear. The program itself is not changed.
 */
const http = require('node:http')
const https = require('node:https')

const { hostname, port } = new URL(process.env.STRIPE_STAND_IN)

https.request = ({ host, path, method, headers }) => {
  if (host !== 'api.stripe.com') throw new Error(`not for ${host}`)
  const request = http.request({ hostname, port, path, method, headers })
  // Stripe's library sends once the connection is secure.
  request.once('socket', socket => socket.once('connect', () => socket.emit('secureConnect')))
  return request
}
