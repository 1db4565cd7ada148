// Random trees of jobs for differential.test.mjs, and how they go in on both sides.
import assert from 'node:assert/strict';
import { Queue, Worker } from 'bullmq';

const ON_FAILURE = [{}, { failParentOnFailure: true }, { continueParentOnFailure: true }, { ignoreDependencyOnFailure: true }, { removeDependencyOnFailure: true }];

// A tree for FlowProducer, up to three levels deep. `leaves`: ids of jobs that may be there already; each is used once.
export function randomTree(r, id, { queues, leaves = [], data, known: chance = 0.15, depth = 0 }) {
  const inner = depth === 0 || (depth < 2 && r.chance(0.3));
  const known = !inner && leaves.length > 0 && r.chance(chance) && leaves.splice(r.below(leaves.length), 1)[0];
  const node = {
    name: `level-${depth}`, queueName: r.pick(queues), data: data(),
    opts: { jobId: known || id, ...r.pick(ON_FAILURE), ...(r.chance(0.2) && { priority: 1 + r.below(3) }), ...(r.chance(0.2) && { delay: r.below(2000) }), ...(r.chance(0.5) && { attempts: 2 }) },
  };
  if (depth === 0) for (const option of ON_FAILURE) for (const name of Object.keys(option)) delete node.opts[name];
  if (inner) node.children = Array.from({ length: 1 + r.below(3) }, (_, i) => randomTree(r, `${id}-${i}`, { queues, leaves, data, known: chance, depth: depth + 1 }));
  return node;
}

// Level by level, as FlowProducer inserts them; each with its parent's place.
function flatten(tree) {
  const jobs = [{ node: tree }];
  for (let at = 0; at < jobs.length; at++) for (const node of jobs[at].node.children ?? []) jobs.push({ node, parent: at });
  return jobs.map(({ node, parent }) => ({ queue: node.queueName, name: node.name, data: JSON.stringify(node.data), opts: node.opts, parent }));
}

export async function completeJobs(connection, name, ids) {
  const queue = new Queue(name, { connection, skipMetasUpdate: true });
  const worker = new Worker(name, null, { connection, autorun: false });
  await queue.addBulk(ids.map((jobId) => ({ name: 'early', data: {}, opts: { jobId } })));
  for (let i = 0; i < ids.length; i++) await (await worker.getNextJob(`early-${i}`, { block: false })).moveToCompleted({ early: i }, `early-${i}`, false);
  await Promise.all([queue.close(), worker.close()]);
}

// What getFlow says, without the order of siblings, which Redis does not keep.
export const shape = ({ job, children = [] }) => ({
  id: job.id, queue: job.queueName, name: job.name, data: job.data, parent: job.parentKey,
  children: children.map(shape).sort((a, b) => (a.id < b.id ? -1 : 1)),
});
export const countNodes = (node) => 1 + (node.children ?? []).reduce((sum, child) => sum + countNodes(child), 0);

export async function sameFlow({ flowProducer, driver }, tree) {
  const jobs = flatten(tree);
  await flowProducer.add(structuredClone(tree));
  const ours = await driver.call('addFlow', { jobs });
  const told = JSON.stringify(jobs.map(({ opts, queue, parent }) => ({ queue, parent, ...opts })));
  assert.deepEqual({ rc: ours.rc, ids: ours.ids }, { rc: 'OK', ids: jobs.map((job) => job.opts.jobId) }, `${ours.error} ${told}`);
  return told;
}
