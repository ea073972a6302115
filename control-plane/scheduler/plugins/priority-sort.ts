/** QueueSort: the highest priority first, then who came first. */
import type { PluginFactory } from '../framework.ts'

export const prioritySort: PluginFactory = () => ({
  name: 'PrioritySort',
  less: (a, b) =>
    a.info.priority !== b.info.priority ? a.info.priority > b.info.priority : a.since !== b.since ? a.since < b.since : a.order < b.order,
})
