/** Of two controller managers and two schedulers the one that leads dies, and the other one takes its place. */
import { componentOf } from '#control-plane/cli/components.ts'
import { isAlive, readRecord, recordedNames, supervisorProcess } from '#control-plane/cli/process.ts'
import { leases } from '#shared/api/kinds.ts'
import { until } from '../until.ts'
import { follow, killed, working, type Scenario, type Stage } from './failure.ts'

/** Two of each from now on. */
async function two({ cluster }: Stage, component: string): Promise<void> {
  const live = (): number =>
    recordedNames(cluster.dir).filter(name => componentOf(name) === component && isAlive(readRecord(cluster.dir, name))).length
  if (!recordedNames(cluster.dir).includes(`${component}-2`)) {
    await killed(cluster.dir, supervisorProcess)
    await cluster.up('--controller-managers', '2', '--schedulers', '2')
  }
  await until(() => live() === 2, `two of ${component} run`)
}

const leader = (component: string): Scenario => ({
  name: `leader of two ${component}s killed`,
  async prepare(stage) {
    await two(stage, component)
    await working(stage)
    const watch = await follow(stage, leases, 'kube-system')
    let holder = ''
    await watch.until(all => (holder = all.get(component)?.spec.holderIdentity ?? '') !== '', `${component} has a leader`)
    return {
      // An identity is the name of the process and something that no other process has.
      strike: () => killed(stage.cluster.dir, holder.split('_')[0] ?? ''),
      recoveries: [
        {
          what: 'the lease has a new holder',
          target: 3,
          done: () =>
            watch.until(all => !['', holder].includes(all.get(component)?.spec.holderIdentity ?? ''), `another ${component} leads`),
        },
      ],
    }
  },
})

export const leaders: Scenario[] = [leader('kube-controller-manager'), leader('kube-scheduler')]
