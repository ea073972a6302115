/** What a cloud is to the controllers (k8s.io/cloud-provider, cloud.go): everything that differs from cloud to cloud is behind this. */
import type { Node } from '#shared/api/core/node.ts'
import type { Service } from '#shared/api/core/service.ts'

export interface InstanceMetadata {
  /** `PROVIDER://ID`. */
  readonly providerID: string
  readonly instanceType: string
  readonly zone: string
  readonly region: string
}

export interface Instances {
  /** False only when the instance is gone for good: its Node is deleted then. */
  instanceExists(node: Node): Promise<boolean>
  instanceShutdown(node: Node): Promise<boolean>
  /** Undefined for a node that is no instance of this cloud. */
  instanceMetadata(node: Node): Promise<InstanceMetadata | undefined>
}

export type LoadBalancerStatus = NonNullable<NonNullable<Service['status']>['loadBalancer']>

export interface LoadBalancers {
  /** What a Service's load balancer is like; undefined when there is none. */
  getLoadBalancer(service: Service): Promise<LoadBalancerStatus | undefined>
  /** Makes it, or changes it to what the Service says now and to these nodes; idempotent. Rejects with words for the user. */
  ensureLoadBalancer(service: Service, nodes: readonly Node[]): Promise<LoadBalancerStatus>
  /** Takes it down; idempotent. */
  ensureLoadBalancerDeleted(service: Service): Promise<void>
}

export interface Routes {
  /**
   * Makes the cloud's routes those to the pods of these nodes, and no others; resolves with the names of the nodes that it has routes to.
   */
  ensureRoutes(nodes: readonly Node[]): Promise<string[]>
}

export interface Egress {
  /** Gives what these pods send to the outside these addresses, pod's address to address, and nobody else; idempotent. */
  ensureAddresses(addresses: ReadonlyMap<string, string>): Promise<void>
}

export interface Cloud {
  readonly name: string
  /** The `loadBalancerClass` that means this cloud; a Service without a class means it, too. */
  readonly loadBalancerClass: string
  readonly instances: Instances
  readonly loadBalancers: LoadBalancers | undefined
  /** Undefined where the nodes see to it alone that pods reach each other. */
  readonly routes: Routes | undefined
  /** Undefined where the cloud does not see what pods send to the outside. */
  readonly egress: Egress | undefined
  /** Has it called when something happened to instances that no object tells of. */
  onChange(changed: () => void): void
}
