/** The judge of `cox chaos`: each promise with a history that keeps it and histories that break it. */
import { describe, expect, test } from 'vitest'
import type { HistoryEvent } from '#control-plane/cli/chaos/history.ts'
import { judge } from '#control-plane/cli/chaos/judge.ts'
import { added, container, deleted, fact, history, mark, modified, node, pod, replicaSet, wrote } from './histories.ts'

const said = (events: HistoryEvent[]): string[] => judge(events).map(v => `${v.invariant}: ${v.message}`)
const start = { type: 'list' as const, kind: 'configmaps', version: 10, facts: [], why: 'start' as const }
const end = { type: 'end' as const }

describe('no acknowledged write is lost', () => {
  const unknown = (m?: string) => ({
    type: 'write' as const,
    object: 'r',
    outcome: 'unknown' as const,
    began: 0,
    ...(m === undefined ? {} : { mark: m }),
  })
  const refused = (m: string) => ({ type: 'write' as const, object: 'r', outcome: 'refused' as const, began: 0, mark: m })
  const removed = { type: 'write' as const, object: 'r', outcome: 'acknowledged' as const, began: 0 }
  const read = (version?: number, m?: string) => ({
    type: 'read' as const,
    object: 'r',
    began: 0,
    ...(version === undefined ? {} : { version }),
    ...(m === undefined ? {} : { mark: m }),
  })
  const good = history(
    ...[
      start,
      added(mark('r', 11, 'a')),
      wrote('r', 'a', 11),
      read(11, 'a'),
      modified(mark('r', 13, 'b')),
      wrote('r', 'b', 13),
      unknown('c'),
      modified(mark('r', 15, 'c')),
      read(15, 'c'),
    ],
    ...[
      unknown('never'),
      refused('d'),
      deleted(mark('r', 17, 'c')),
      removed,
      read(),
      added(mark('r', 18, 'e')),
      wrote('r', 'e', 18),
      read(18, 'e'),
      { ...start, version: 20, facts: [mark('r', 18, 'e')], why: 'end' as const },
      end,
    ],
  )
  test('a history that keeps it', () => expect(said(good)).toEqual([]))
  test.each<[string, HistoryEvent[], RegExp]>([
    [
      'the watch never shows the write',
      history(start, wrote('r', 'a', 11), { ...start, version: 12, why: 'end' }, end),
      /"a", acknowledged at version 11, is not in the history/,
    ],
    [
      'the watch shows another write there',
      history(start, added(mark('r', 11, 'x')), wrote('r', 'a', 11), end),
      /"a", acknowledged at version 11, is not in the history/,
    ],
    [
      'a read shows an older state',
      history(start, added(mark('r', 11, 'a')), wrote('r', 'a', 11), modified(mark('r', 12, 'b')), wrote('r', 'b', 12), read(11, 'a')),
      /a read showed version 11 after 12 was acknowledged/,
    ],
    [
      'a read finds nothing',
      history(start, added(mark('r', 11, 'a')), wrote('r', 'a', 11), read()),
      /a read found nothing after version 11/,
    ],
    [
      'a read and the watch differ',
      history(start, added(mark('r', 11, 'a')), wrote('r', 'a', 11), read(11, 'b')),
      /a read showed "b" at version 11, the watch "a"/,
    ],
    [
      'an acknowledgement of an older version',
      history(start, added(mark('r', 11, 'a')), wrote('r', 'a', 11), wrote('r', 'b', 11), end),
      /"b" was acknowledged at version 11, after 11/,
    ],
    ['a write that was refused', history(start, added(mark('r', 11, 'a')), refused('a')), /"a" was refused, but carried out at version 11/],
    [
      'a write that happens twice',
      history(start, added(mark('r', 11, 'a')), modified(mark('r', 12, 'b')), modified(mark('r', 13, 'a')), unknown('a')),
      /"a" was carried out 2 times, at versions 11, 13/,
    ],
    [
      'a deletion that never happens',
      history(start, added(mark('r', 11, 'a')), wrote('r', 'a', 11), removed, modified(mark('r', 14, 'b')), wrote('r', 'b', 14)),
      /the acknowledged deletion after version 11 never happened/,
    ],
    [
      'a deletion that never happens, at the end',
      history(start, added(mark('r', 11, 'a')), wrote('r', 'a', 11), removed, end),
      /the acknowledged deletion after version 11 never happened/,
    ],
  ])('%s', (_, events, message) => expect(said(events)).toContainEqual(expect.stringMatching(message)))
  test('what a watch that expired has not told is no violation', () =>
    expect(
      said(
        history(
          start,
          added(mark('r', 11, 'a')),
          wrote('r', 'a', 11),
          wrote('r', 'b', 15),
          { ...start, version: 30, facts: [mark('r', 20, 'c')], why: 'expired' },
          wrote('r', 'c', 20),
          end,
        ),
      ),
    ).toEqual([]))
  test('what the watch has not told yet is no violation before the end', () =>
    expect(said(history(start, wrote('r', 'a', 11)))).toEqual([]))
})

describe('versions only grow', () => {
  test.each<[string, HistoryEvent[], RegExp]>([
    ['the watch goes back', history(added(mark('a', 12, '')), added(mark('b', 11, ''))), /gave version 11 \(default\/b\) after 12/],
    ['an event twice', history(added(mark('a', 12, '')), modified(mark('a', 12, ''))), /gave version 12/],
    [
      'something that nobody added',
      history(modified(mark('a', 12, ''))),
      /configmaps default\/a was modified, but never that it was added/,
    ],
    ['added twice', history(added(mark('a', 12, '')), added(mark('a', 13, ''))), /added configmaps default\/a, which was there already/],
    [
      'another object under its name',
      history(added(mark('a', 12, '')), modified({ ...mark('a', 13, ''), uid: 'other' })),
      /became another object without a deletion/,
    ],
    [
      'a generation goes back',
      history(added({ ...mark('a', 12, ''), generation: 3 }), modified({ ...mark('a', 13, ''), generation: 2 })),
      /from generation 3 to 2/,
    ],
    [
      'a list older than the watch',
      history(start, added(mark('a', 12, '')), { ...start, version: 11, why: 'expired' }),
      /is of version 11, the watch had passed 12/,
    ],
    [
      'a list that shows an older object',
      history(start, added(mark('a', 12, '')), { ...start, version: 20, facts: [mark('a', 11, '')], why: 'expired' }),
      /went back from version 12 to 11/,
    ],
    [
      'a change that the watch did not tell',
      history(start, added(mark('a', 12, '')), { ...start, version: 20, facts: [mark('a', 15, '')], why: 'end' }),
      /is at version 15, the watch told only of 12/,
    ],
    [
      'a deletion that the watch did not tell',
      history(start, added(mark('a', 12, '')), { ...start, version: 20, facts: [], why: 'end' }),
      /configmaps default\/a is gone, the watch did not tell/,
    ],
  ])('%s', (_, events, message) => expect(said(events)).toContainEqual(expect.stringMatching(message)))
  test('an object that was deleted and made again', () =>
    expect(
      said(
        history(start, added(mark('a', 12, '')), deleted(mark('a', 13, '')), added({ ...mark('a', 14, ''), uid: 'other' }), {
          ...start,
          version: 20,
          facts: [{ ...mark('a', 14, ''), uid: 'other' }],
          why: 'end',
        }),
      ),
    ).toEqual([]))
})

describe('one life at a time', () => {
  const owner = { kind: 'StatefulSet', name: 'db', uid: 'db' }
  const first = pod('db-0', 20, { owner })
  const second = pod('db-0', 22, { owner, node: 'node-2', containers: [container({ id: 'second' })] }, { uid: 'second' })
  const running = (...uids: string[]) => ({
    type: 'processes' as const,
    processes: uids.map((uid, i) => ({ node: `node-${i + 1}`, uid, id: uid === 'second' ? 'second' : 'first', pid: 100 + i })),
  })
  test('one after the other', () =>
    expect(
      said(history(added(first), running(first.uid), deleted({ ...first, version: 21 }), added(second), running('second'), end)),
    ).toEqual([]))
  test('two processes of one name', () => {
    const events = history(
      added(first),
      running(first.uid),
      deleted({ ...first, version: 21 }),
      added(second),
      running(first.uid, 'second'),
    )
    expect(said(events)).toEqual([
      expect.stringMatching(/two live pods are named default\/db-0: uid-of-db-0 on node-1 \(pid 100\) and second on node-2 \(pid 101\)/),
    ])
  })
  test('a bare pod that somebody deleted by force', () => {
    const bare = { ...first, pod: { ...first.pod!, owner: undefined } } as typeof first
    expect(
      said(
        history(
          added(bare),
          deleted({ ...bare, version: 21 }),
          added({ ...second, pod: { ...second.pod!, owner: undefined } } as typeof first),
          running(bare.uid, 'second'),
        ),
      ),
    ).toEqual([])
  })
  test('processes outlive their pod', () => {
    const gone = [added(first), running(first.uid), deleted({ ...first, version: 21 })]
    expect(said(history(...gone, { ...running(first.uid), at: 20_000 }))).toEqual([])
    expect(said(history(...gone, { ...running(first.uid), at: 60_000 }))).toEqual([
      expect.stringMatching(/pod default\/db-0 \(uid-of-db-0\) is gone, process 100 on node-1 lives on/),
    ])
    expect(said(history(...gone, running(first.uid), end))).toHaveLength(1)
    // While a link is cut nobody can tell the node.
    expect(
      said(
        history(
          ...gone,
          { type: 'action', id: 1, action: 'link', target: 'node-1', node: 'node-1' },
          { ...running(first.uid), at: 60_000 },
        ),
      ),
    ).toEqual([])
  })
  test('a container is said to run and has no process', () =>
    expect(said(history(added(first), running(), end))).toEqual([
      expect.stringMatching(/container c of pod default\/db-0 is said to run on node-1 and has no process/),
    ]))
})

describe('a pod is bound once, to a node that is there', () => {
  const bound = (to: string, version: number) => pod('p', version, { node: to })
  test.each<[string, HistoryEvent[], RegExp | undefined]>([
    ['bound', history(added(node('node-1', 1)), added(bound('', 2)), modified(bound('node-1', 3))), undefined],
    [
      'bound twice',
      history(added(bound('', 2)), modified(bound('node-1', 3)), modified(bound('node-2', 4))),
      /was bound to node-1, then to node-2/,
    ],
    [
      'to a node that was gone just now',
      history(added(node('node-1', 1)), added(bound('', 2)), deleted(node('node-1', 3)), modified(bound('node-1', 4))),
      undefined,
    ],
    [
      'to a node that was gone for long',
      history(added(node('node-1', 1)), deleted(node('node-1', 3)), added(bound('', 4)), { ...modified(bound('node-1', 5)), at: 10_000 }),
      /was bound to node-1, which was gone for 8 s/,
    ],
  ])('%s', (_, events, message) => expect(said(events)).toEqual(message ? [expect.stringMatching(message)] : []))
})

describe('what is asked for comes to be', () => {
  const action = { type: 'action' as const, id: 1, action: 'scheduler' as const, target: 'kube-scheduler' }
  test.each<[string, HistoryEvent[], RegExp | undefined]>([
    ['whole', history(added(replicaSet('web', 2, 3)), added(node('node-1', 3)), end), undefined],
    [
      'pods lack',
      history(added(replicaSet('web', 2, 3, 3, 2)), end),
      /in the end replicasets default\/web has 3 pods, 3 of them updated and 2 ready, of 3/,
    ],
    ['pods too many', history(added(replicaSet('web', 2, 3, 4)), end), /has 4 pods/],
    ['nobody looked', history(added({ ...replicaSet('web', 2, 3), generation: 2 }), end), /has generation 2, its controller saw 1/],
    ['a node is not Ready', history(added(node('node-1', 2, false)), end), /in the end nodes node-1 is not Ready/],
    [
      'no recovery',
      history(action, { type: 'recovered', id: 1, missing: ['nodes node-1 is not Ready'] }),
      /after scheduler kube-scheduler: nodes node-1 is not Ready/,
    ],
    ['it was like that before', history(added(replicaSet('web', 2, 3, 3, 2)), { type: 'start' }, end), undefined],
    [
      'it was like that before, but not always',
      history(
        added(replicaSet('web', 2, 3, 3, 2)),
        { type: 'start' },
        modified(replicaSet('web', 3, 3)),
        modified(replicaSet('web', 4, 3, 3, 2)),
        end,
      ),
      /has 3 pods/,
    ],
  ])('%s', (_, events, message) => expect(said(events)).toEqual(message ? [expect.stringMatching(message)] : []))
  test('a crashed pod may wait out its back-off', () => {
    const waits = pod('web-1', 3, {
      ready: false,
      owner: { kind: 'ReplicaSet', name: 'web', uid: 'uid-of-web' },
      containers: [container({ state: 'waiting', waiting: 'CrashLoopBackOff', ready: false })],
    })
    expect(said(history(added(replicaSet('web', 2, 1, 1, 0)), added(waits), end))).toEqual([])
  })
  test('a Service lacks a ready pod', () => {
    const service = fact('services', 'web', 2, { service: { selector: { app: 'web' }, publishNotReady: false } })
    const slice = (...uids: string[]) =>
      fact('endpointslices', 'web-x', 4, {
        slice: { service: 'web', endpoints: uids.map(uid => ({ uid, ready: true, terminating: false })) },
      })
    const ready = pod('web-1', 3, { labels: { app: 'web' } })
    const running = { type: 'processes' as const, processes: [{ node: 'node-1', uid: ready.uid, id: 'first', pid: 1 }] }
    expect(said(history(added(service), added(ready), added(slice(ready.uid)), running, end))).toEqual([])
    expect(said(history(added(service), added(ready), added(slice()), running, end))).toEqual([
      expect.stringMatching(/in the end services default\/web lacks its ready pod web-1/),
    ])
  })
})

test('no pod too many', () => {
  const owned = (name: string, version: number) => pod(name, version, { owner: { kind: 'ReplicaSet', name: 'web', uid: 'uid-of-web' } })
  const two = [added(replicaSet('web', 2, 2)), added(owned('a', 3)), added(owned('b', 4))]
  const later = { type: 'read' as const, object: 'r', began: 0, at: 90_000 }
  expect(said(history(...two, later))).toEqual([])
  expect(said(history(...two, added(owned('c', 5)), later))).toEqual([
    expect.stringMatching(/replica set default\/web has 3 pods of 2 with default\/c/),
  ])
  expect(
    said(history(...two, modified({ ...owned('a', 5), pod: { ...owned('a', 5).pod!, terminating: true } }), added(owned('c', 6)), later)),
  ).toEqual([])
  // The watch of pods may be ahead of that of replica sets; versions tell what came first.
  expect(said(history(...two, added(owned('c', 6)), modified(replicaSet('web', 5, 3)), later))).toEqual([])
  expect(said(history(...two, added(owned('c', 6))))).toEqual([])
  expect(said(history(...two, added(owned('c', 5)), modified(replicaSet('web', 6, 3)), later))).toHaveLength(1)
  // Scaled down just now: its controller may not know.
  expect(said(history(...two, modified(replicaSet('web', 5, 1)), deleted(owned('b', 6)), added(owned('c', 7)), later))).toEqual([])
  expect(
    said(history(...two, modified(replicaSet('web', 5, 1)), deleted(owned('b', 6)), { ...added(owned('c', 7)), at: 60_000 }, later)),
  ).toHaveLength(1)
  // The same, just before the first list.
  const listed = { type: 'list' as const, kind: 'replicasets', version: 2, facts: [replicaSet('web', 2, 0)], why: 'start' as const }
  expect(said(history(listed, added(owned('a', 3)), later))).toEqual([])
  expect(said(history(listed, { ...added(owned('a', 3)), at: 60_000 }, later))).toHaveLength(1)
})

describe('no container is restarted without cause', () => {
  const restarted = (last: { reason: string; exitCode: number } | undefined, restarts = 1) =>
    modified(pod('p', 9, { containers: [container({ id: 'second', restarts, ...(last ? { last: { id: 'first', ...last } } : {}) })] }))
  const killed = { reason: 'Error', exitCode: 137 }
  const before = added(pod('p', 2))
  const hit = (action: 'node' | 'agent' | 'pod', rest: object) => ({ type: 'action' as const, id: 1, action, target: '', ...rest })
  test.each<[string, HistoryEvent[], RegExp | undefined]>([
    [
      'killed by nobody',
      history(before, restarted(killed)),
      /container c of pod default\/p was restarted, its last life ended as Error with exit code 137/,
    ],
    ['its node-agent was killed', history(before, hit('agent', { node: 'node-1' }), restarted(killed)), /was restarted/],
    [
      'forgotten by its node-agent',
      history(before, hit('agent', { node: 'node-1' }), restarted({ reason: 'ContainerStatusUnknown', exitCode: 137 })),
      /ContainerStatusUnknown/,
    ],
    ['its node was killed', history(before, hit('node', { node: 'node-1' }), restarted(killed)), undefined],
    ['another node was killed', history(before, hit('node', { node: 'node-2' }), restarted(killed)), /was restarted/],
    ['its process was killed', history(before, hit('pod', { container: 'first' }), restarted(killed)), undefined],
    ['the process of another one was killed', history(before, hit('pod', { container: 'other' }), restarted(killed)), /was restarted/],
    ['out of memory', history(before, restarted({ reason: 'OOMKilled', exitCode: 137 })), undefined],
    ['it ended by itself', history(before, restarted({ reason: 'Error', exitCode: 1 })), undefined],
    ['its probe failed', history(before, added(fact('events', 'e', 5, { probeFailure: 'uid-of-p/c' })), restarted(killed)), undefined],
    [
      'another one under the same count',
      history(before, restarted({ reason: 'Completed', exitCode: 0 }, 0)),
      /is another one, its restarts still count 0/,
    ],
  ])('%s', (_, events, message) => expect(said(events)).toEqual(message ? [expect.stringMatching(message)] : []))
  test('one death is the cause of one restart', () => {
    const again = modified(pod('p', 12, { containers: [container({ id: 'third', restarts: 2, last: { id: 'second', ...killed } })] }))
    expect(said(history(before, hit('node', { node: 'node-1' }), restarted(killed), again))).toHaveLength(1)
  })
})

test('nobody is evicted without cause', () => {
  const evicted = modified(pod('p', 5, { terminating: true, disruption: 'DeletionByTaintManager' }))
  const hit = (action: 'node' | 'link' | 'nats', on: string) => ({ type: 'action' as const, id: 1, action, target: on, node: on })
  expect(said(history(added(pod('p', 2)), hit('nats', ''), evicted))).toEqual([
    expect.stringMatching(/pod default\/p was evicted from node-1, which nobody had touched/),
  ])
  expect(said(history(added(pod('p', 2)), hit('link', 'node-2'), evicted))).toHaveLength(1)
  expect(said(history(added(pod('p', 2)), hit('link', 'node-1'), evicted))).toEqual([])
  expect(said(history(added(pod('p', 2)), hit('node', 'node-1'), evicted))).toEqual([])
})

describe('endpoints hold only ready pods', () => {
  const service = (publishNotReady = false) => added(fact('services', 'web', 1, { service: { selector: { app: 'web' }, publishNotReady } }))
  const slice = (version: number, ready: boolean) =>
    fact('endpointslices', 'web-x', version, { slice: { service: 'web', endpoints: [{ uid: 'uid-of-p', ready, terminating: false }] } })
  const unready = modified(pod('p', 5, { ready: false }))
  const late = { ...modified(pod('p', 9, { ready: false, phase: 'Running' })), at: 20_000 }
  const begin = [added(pod('p', 2)), added(slice(3, true))]
  const action = { type: 'action' as const, id: 1, action: 'controller-manager' as const, target: '' }
  test.each<[string, HistoryEvent[], RegExp | undefined]>([
    ['taken out', history(service(), ...begin, unready, modified(slice(6, false)), late), undefined],
    ['left in', history(service(), ...begin, unready, late), /endpointslices default\/web-x holds pod p as ready, which is not ready/],
    [
      'left in at the end',
      history(service(), added(pod('p', 2, { ready: false, containers: [] })), added(slice(3, true)), end),
      /which is not ready/,
    ],
    [
      'its pod is gone',
      history(service(), ...begin, deleted(pod('p', 5)), { ...modified({ ...slice(9, true) }), at: 20_000 }),
      /holds pod uid-of-p as ready, which is gone/,
    ],
    [
      'its pod is terminating',
      history(service(), ...begin, modified(pod('p', 5, { terminating: true })), {
        ...modified(pod('p', 9, { terminating: true })),
        at: 20_000,
      }),
      /which is terminating/,
    ],
    ['the controller is dead', history(service(), ...begin, unready, action, late), undefined],
    ['a Service that wants them all', history(service(true), ...begin, unready, late), undefined],
  ])('%s', (_, events, message) => expect(said(events)).toEqual(message ? [expect.stringMatching(message)] : []))
})

describe('jobs', () => {
  const job = (version: number, succeeded: number, complete: boolean) =>
    fact('jobs', 'work', version, { job: { completions: 2, succeeded, complete } })
  const owner = { kind: 'Job', name: 'work', uid: 'uid-of-work' }
  const done = (name: string, version: number) => added(pod(name, version, { phase: 'Succeeded', owner, containers: [] }))
  test('end with exactly their completions', () => {
    const good = history(added(job(1, 0, false)), done('a', 2), done('b', 3), modified(job(4, 2, true)))
    expect(judge(good)).toEqual([])
    const few = history(added(job(1, 0, false)), done('a', 2), modified(job(3, 1, true)))
    expect(judge(few).map(v => v.message)).toEqual(['jobs default/work is complete with 1 of 2 completions'])
    const many = [added(job(1, 0, false)), done('a', 2), done('b', 3), done('c', 4), modified(job(5, 2, true))]
    expect(judge(history(...many)).map(v => v.message)).toEqual(['jobs default/work has 3 pods that succeeded, of 2'])
    expect(judge(history({ type: 'action', id: 1, action: 'node', target: 'n' }, ...many))).toEqual([])
  })
  test('of a CronJob: one for each minute', () => {
    const cron = added(fact('cronjobs', 'clock', 1, { cronJob: { everyMinute: true } }))
    const run = (minute: number, version: number, uid = `job-${minute}`) =>
      added(
        fact('jobs', `clock-${minute}`, version, { uid, job: { completions: 1, succeeded: 0, complete: false, cronJob: 'uid-of-clock' } }),
      )
    expect(judge(history(cron, run(100, 2), run(101, 3), run(102, 4)))).toEqual([])
    expect(judge(history(cron, run(100, 2), run(102, 4))).map(v => v.message)).toEqual([
      'cronjobs default/clock did not run between minutes 100 and 102',
    ])
    const again = history(cron, run(100, 2), deleted(fact('jobs', 'clock-100', 3, { uid: 'job-100' })), run(100, 4, 'other'))
    expect(judge(again).map(v => v.message)).toEqual(['cronjobs default/clock ran 2 times for minute 100'])
  })
})

test('a DaemonSet has one pod of a revision on a node', () => {
  const owner = { kind: 'DaemonSet', name: 'd', uid: 'd' }
  const daemon = (name: string, version: number, revision: string, rest = {}) =>
    added(pod(name, version, { owner, labels: { 'controller-revision-hash': revision }, ...rest }))
  expect(judge(history(daemon('a', 1, 'x'), daemon('b', 2, 'y'), daemon('c', 3, 'x', { node: 'node-2' })))).toEqual([])
  expect(judge(history(daemon('a', 1, 'x'), daemon('b', 2, 'x'))).map(v => v.message)).toEqual([
    'daemon set default/d has default/b and default/a on node-1',
  ])
})
