/**
 * A Job that is complete has exactly its completions, each of a pod of its own; a CronJob of every minute has one Job a minute, none twice
 * and none left out.
 */
import { keyOf, titleOf, type Fact, type Invariant, type Violation } from '../history.ts'
import { World } from '../world.ts'

export const jobsEndExactly: Invariant = history => {
  const found: Violation[] = []
  /** UIDs of pods that have succeeded, by that of their Job. */
  const succeeded = new Map<string, Set<string>>()
  const judged = new Set<string>()
  // A pod whose node is lost may succeed unseen, beside the one that replaces it.
  const losesPods = history.some(e => e.type === 'action' && (e.action === 'node' || e.action === 'link'))
  for (const event of history) {
    if (event.type !== 'change' && event.type !== 'list') continue
    for (const fact of event.type === 'change' ? [event.fact] : event.facts) {
      const { owner, phase } = fact.pod ?? {}
      if (owner?.kind === 'Job' && phase === 'Succeeded') succeeded.set(owner.uid, (succeeded.get(owner.uid) ?? new Set()).add(fact.uid))
      if (!fact.job?.complete || judged.has(fact.uid)) continue
      const bad = (message: string): void => {
        judged.add(fact.uid)
        found.push({ invariant: 'jobs end with exactly their completions', at: event.at, message: `${titleOf(fact)} ${message}` })
      }
      const { completions, succeeded: counted } = fact.job
      if (completions === undefined) continue
      if (counted !== completions) bad(`is complete with ${counted} of ${completions} completions`)
      const pods = succeeded.get(fact.uid)?.size ?? 0
      if (!losesPods && pods > completions) bad(`has ${pods} pods that succeeded, of ${completions}`)
    }
  }
  return found
}

/** The minute that a Job of a CronJob is for, which its name ends with; undefined for others. */
const minuteOf = ({ name, job }: Fact): number | undefined => {
  const minute = job?.cronJob === undefined ? undefined : name.slice(name.lastIndexOf('-') + 1)
  return minute !== undefined && /^\d+$/.test(minute) ? Number(minute) : undefined
}

export const cronRunsOnce: Invariant = history => {
  const found: Violation[] = []
  const world = new World()
  /** By UID of the CronJob: the Jobs of each minute, by UID. */
  const runs = new Map<string, Map<number, Set<string>>>()
  /** UIDs of CronJobs that were of every minute all the time. */
  const steady = new Map<string, Fact>()
  for (const event of history) {
    world.apply(event)
    if (event.type !== 'change' && event.type !== 'list') continue
    for (const fact of event.type === 'change' ? [event.fact] : event.facts) {
      if (fact.cronJob) {
        if (fact.cronJob.everyMinute && (steady.has(fact.uid) || !runs.has(fact.uid))) steady.set(fact.uid, fact)
        else steady.delete(fact.uid)
      }
      const minute = minuteOf(fact)
      if (minute === undefined) continue
      const own = runs.get(fact.job!.cronJob!) ?? new Map<number, Set<string>>()
      runs.set(fact.job!.cronJob!, own)
      own.set(minute, (own.get(minute) ?? new Set()).add(fact.uid))
    }
  }
  const at = history.at(-1)?.at ?? 0
  for (const [uid, minutes] of runs) {
    const cronJob = steady.get(uid)
    const bad = (message: string): void =>
      void found.push({ invariant: 'each minute has its run', at, message: `cronjobs ${cronJob ? keyOf(cronJob) : uid} ${message}` })
    for (const [minute, jobs] of minutes) if (jobs.size > 1) bad(`ran ${jobs.size} times for minute ${minute}`)
    if (!cronJob) continue
    const all = [...minutes.keys()].sort((a, b) => a - b)
    for (let i = 1; i < all.length; i++) if (all[i]! > all[i - 1]! + 1) bad(`did not run between minutes ${all[i - 1]} and ${all[i]}`)
  }
  return found
}
