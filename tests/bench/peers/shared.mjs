// What all sides of the comparison have in common: the payload and its schema, and the options of a job as Sluice's queue declares them.
export const OPTIONS = {
  attempts: 5,
  backoff: { type: 'exponential', delay: 1000 },
  removeOnComplete: { count: 100 },
  removeOnFail: { count: 50 },
};

export const NOTIFICATION = {
  type: 'object',
  required: ['userId', 'type', 'subject', 'message'],
  additionalProperties: false,
  properties: {
    userId: { type: 'string', minLength: 1, maxLength: 128 },
    type: { type: 'string', enum: ['email', 'slack', 'sms', 'push', 'webhook'] },
    subject: { type: 'string', minLength: 1, maxLength: 255 },
    message: { type: 'string', minLength: 1, maxLength: 65536 },
    metadata: { type: 'object' },
  },
};

// A valid payload of exactly so many bytes as JSON; what the message cannot hold stands in metadata.
export function notification(bytes) {
  const payload = { userId: 'user-4711', type: 'email', subject: 'Your order is on its way', message: 'm' };
  const room = bytes - JSON.stringify(payload).length;
  if (room <= 60_000) return { ...payload, message: 'm'.repeat(1 + Math.max(0, room)) };
  return { ...payload, metadata: { text: 'm'.repeat(room - JSON.stringify({ text: '' }).length - ',"metadata":'.length) } };
}
