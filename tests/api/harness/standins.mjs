// What notifications are sent to: a mail server and an HTTP receiver on loopback that answer as a test tells them.
import { createServer } from 'node:http';
import { simpleParser } from 'mailparser';
import { SMTPServer } from 'smtp-server';
import { eventually } from './eventually.mjs';

// answer(request) decides; request: {method, path, headers, text, n}; n counts from 1. It returns {status, headers, body}, 'hang' or 'drop'.
export async function startReceiver(answer = () => ({ status: 200, body: 'ok' })) {
  const receiver = { requests: [], answer };
  const server = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const seen = { method: request.method, path: request.url, headers: request.headers, text: Buffer.concat(chunks).toString('utf8'), n: receiver.requests.length + 1 };
    receiver.requests.push(seen);
    const reply = await receiver.answer(seen);
    if (reply === 'drop') request.socket.destroy();
    else if (reply !== 'hang') response.writeHead(reply.status, reply.headers).end(reply.body);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  return Object.assign(receiver, {
    port, url: `http://127.0.0.1:${port}`, allow: `127.0.0.1:${port}`,
    close: () => new Promise((resolve) => {
      server.close(resolve);
      server.closeAllConnections();
    }),
  });
}

function refusal(code, text = 'no') {
  return Object.assign(new Error(text), { responseCode: code });
}

// onRecipient(address) and onMessage(mail) may return {code, text} to refuse, 'hang' for no reply, 'drop' to break the connection.
// Every message that was taken stands in `mails`: {raw, parsed, from, to, user, secure}; every one that came in whole in `arrived`.
export async function startMailServer({ onRecipient = () => {}, onMessage = () => {}, ...options } = {}) {
  const mail = { mails: [], arrived: [], recipients: [], onRecipient, onMessage };
  const decide = (reply, session, callback) => {
    if (reply === 'hang') return;
    if (reply === 'drop') server.connections.forEach((connection) => connection.session.id === session.id && connection._socket.destroy());
    else callback(reply ? refusal(reply.code, reply.text) : null);
  };
  const server = new SMTPServer({
    disabledCommands: options.onAuth ? [] : ['AUTH'], authOptional: true, hideSTARTTLS: !options.key, logger: false, closeTimeout: 100, ...options,
    onRcptTo({ address }, session, callback) {
      mail.recipients.push(address);
      decide(mail.onRecipient(address), session, callback);
    },
    async onData(stream, session, callback) {
      const chunks = [];
      for await (const chunk of stream) chunks.push(chunk);
      const raw = Buffer.concat(chunks);
      const seen = {
        raw, parsed: await simpleParser(raw), user: session.user, secure: session.secure, helo: session.hostNameAppearsAs,
        from: session.envelope.mailFrom.address, to: session.envelope.rcptTo.map(({ address }) => address),
      };
      mail.arrived.push(seen);
      const reply = await mail.onMessage(seen);
      if (!reply) mail.mails.push(seen);
      decide(reply, session, callback);
    },
  });
  server.on('error', () => {}); // clients that break off, on purpose
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.server.address();
  return Object.assign(mail, {
    port, url: `smtp://127.0.0.1:${port}`,
    to: (address) => mail.mails.filter((one) => one.to.includes(address)),
    close: () => new Promise((resolve) => {
      for (const connection of server.connections) connection._socket.destroy();
      server.close(resolve);
    }),
  });
}

// The job when it has come to its end, or when `until` holds for it.
export function settled(sluice, { jobId, statusUrl }, { until = (job) => ['completed', 'failed'].includes(job.state), ...options } = {}) {
  return eventually(async () => {
    const { json: job } = await sluice.client.get(statusUrl);
    return until(job) ? job : null;
  }, { timeout: 20_000, what: `the end of notification ${jobId}`, ...options });
}
