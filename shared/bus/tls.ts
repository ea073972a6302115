/** TLS between a cluster's nats-servers and the nodes of other machines. */

/** What the certificates of a cluster's nats-servers name, wherever they listen. */
export const natsServerName = 'nats-server'
