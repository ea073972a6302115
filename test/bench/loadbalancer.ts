/** Waiting for what a load balancer gives. */
import { until } from './until.ts'

/** The address in a status of a Service or an Ingress, once it is there. */
export async function addressOf(read: () => Promise<{ loadBalancer?: { ingress?: { ip?: string }[] } } | undefined>): Promise<string> {
  let address: string | undefined
  await until(async () => (address = (await read())?.loadBalancer?.ingress?.[0]?.ip) !== undefined, 'there is an address')
  return address ?? ''
}
