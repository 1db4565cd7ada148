// An HTTP client that hides nothing, and a sender of raw bytes for what no client would send.
import { Agent, request as httpRequest } from 'node:http';
import { connect } from 'node:net';

export class Client {
  #agent = new Agent({ keepAlive: true, maxSockets: 64 });

  // check(exchange), when given, sees every exchange and throws when it breaks the contract.
  constructor({ host = '127.0.0.1', port, token, check = () => {} }) {
    Object.assign(this, { host, port, token, check });
  }

  // The same server with another token (null: none); the connections are shared.
  as(token) {
    const other = new Client({ host: this.host, port: this.port, token, check: this.check });
    other.#agent = this.#agent;
    return other;
  }

  // body: an object becomes JSON; text, Buffer and streams are sent as they are. Resolves with
  // {status, headers, rawHeaders, bytes, text, json}; json is undefined where the answer is none.
  async request(method, path, { body, headers = {}, timeout = 35_000 } = {}) {
    const fields = { ...headers };
    let payload = body;
    if (body !== undefined && typeof body !== 'string' && !Buffer.isBuffer(body) && typeof body.pipe !== 'function') {
      payload = JSON.stringify(body);
      fields['content-type'] ??= 'application/json';
    }
    if (this.token) fields.authorization ??= `Bearer ${this.token}`;
    if (typeof payload === 'string' || Buffer.isBuffer(payload)) fields['content-length'] ??= Buffer.byteLength(payload);
    const send = () => this.#send({ method, path, headers: fields }, payload, timeout);
    // Each of several idle connections may have been ended; every attempt uses one up.
    const again = (error) => (error.closedIdle && method === 'GET' ? send().catch(again) : Promise.reject(error));
    const answer = await send().catch(again);
    await this.check({ method, path, ...answer });
    return answer;
  }

  #send(options, payload, timeout) {
    dropStale(this.#agent);
    return new Promise((resolve, reject) => {
      const request = httpRequest({ host: this.host, port: this.port, agent: this.#agent, ...options }, (response) => {
        response.socket.usableUntil = performance.now() + 1000 * (timeoutTold(response) - 1);
        const chunks = [];
        response.on('data', (chunk) => chunks.push(chunk)).on('error', reject).on('end', () => {
          clearTimeout(timer);
          resolve(describe(response.statusCode, response.headers, response.rawHeaders, Buffer.concat(chunks)));
        });
      });
      const timer = setTimeout(() => request.destroy(new Error(`no answer to ${options.method} ${options.path} in ${timeout} ms`)), timeout);
      request.on('error', (error) => {
        clearTimeout(timer);
        // The server may end an idle connection while this goes out; RFC 9110, 9.2.2 has clients repeat what is safe then.
        reject(Object.assign(error, { closedIdle: request.reusedSocket && error.code === 'ECONNRESET' }));
      });
      if (typeof payload?.pipe === 'function') payload.pipe(request);
      else request.end(payload);
    });
  }

  get = (path, options) => this.request('GET', path, options);
  post = (path, body, options) => this.request('POST', path, { body, ...options });
  put = (path, body, options) => this.request('PUT', path, { body, ...options });
  delete = (path, options) => this.request('DELETE', path, options);

  close() {
    this.#agent.destroy();
  }
}

// How many seconds the server keeps this connection when nothing comes by it.
const timeoutTold = ({ headers }) => Number(/\btimeout=(\d+)/.exec(headers['keep-alive'])?.[1] ?? Infinity);

// A server ends an idle connection when it said so, maybe just as the next request goes out, and a POST must not be repeated then. So an
// idle connection is given up a second before; node's agent does that by a timer, which is late when a test has waited for a program.
function dropStale(agent) {
  for (const socket of Object.values(agent.freeSockets).flat()) if (performance.now() >= socket.usableUntil) socket.destroy();
}

function describe(status, headers, rawHeaders, bytes) {
  const text = bytes.toString('utf8');
  const isJson = /^application\/([a-z.]+\+)?json\b/.test(headers['content-type'] ?? '');
  return { status, headers, rawHeaders, bytes, text, json: isJson && text ? JSON.parse(text) : undefined };
}

// Sends the pieces as they are, each when the one before has been taken by the kernel; a function among them is awaited with what has
// come back so far. Resolves with {closed, bytes, responses} when the server closes, when `enough(responses)` holds, or after `timeout`; with
// `leave`, when the pieces are out.
export function sendRaw(port, pieces, { host = '127.0.0.1', timeout = 5_000, enough = () => false, methods = [], leave = false } = {}) {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, noDelay: true });
    const received = [];
    const finish = (closed) => {
      clearTimeout(timer);
      socket.destroy();
      const bytes = Buffer.concat(received);
      resolve({ closed, bytes, responses: parseResponses(bytes, methods) });
    };
    const timer = setTimeout(() => finish(false), timeout);
    socket.on('data', (chunk) => {
      received.push(chunk);
      if (enough(parseResponses(Buffer.concat(received), methods))) finish(false);
    });
    socket.on('error', (error) => (['ECONNRESET', 'EPIPE'].includes(error.code) ? finish(true) : reject(error)));
    socket.on('close', () => finish(true));
    socket.on('connect', async () => {
      for (const piece of [pieces].flat()) {
        if (typeof piece === 'function') await piece(parseResponses(Buffer.concat(received), methods));
        else if (socket.writable) await new Promise((done) => socket.write(piece, done));
      }
      if (leave) finish(false);
    });
  });
}

// The complete responses at the start of the bytes. methods[i] is the i-th request's method: an answer to HEAD has no body.
export function parseResponses(bytes, methods = []) {
  const responses = [];
  let rest = bytes;
  for (;;) {
    const end = rest.indexOf('\r\n\r\n');
    if (end < 0) return responses;
    const [statusLine, ...lines] = rest.subarray(0, end).toString('latin1').split('\r\n');
    const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(statusLine)?.[1]);
    const headers = Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]));
    const bodiless = methods[responses.filter((r) => r.status >= 200).length] === 'HEAD' || status < 200 || status === 204 || status === 304;
    const body = bodiless ? { bytes: Buffer.alloc(0), next: end + 4 } : bodyOf(rest, end + 4, headers);
    if (!body) return responses;
    responses.push(describe(status, headers, lines, body.bytes));
    rest = rest.subarray(body.next);
  }
}

// The body that starts at `from` and where the next response starts; undefined while it is incomplete.
function bodyOf(bytes, from, headers) {
  if (headers['transfer-encoding'] !== 'chunked') {
    const next = from + Number(headers['content-length'] ?? bytes.length - from);
    return next <= bytes.length ? { bytes: bytes.subarray(from, next), next } : undefined;
  }
  const chunks = [];
  for (let at = from; ;) {
    const lineEnd = bytes.indexOf('\r\n', at);
    if (lineEnd < 0) return undefined;
    const size = parseInt(bytes.toString('latin1', at, lineEnd), 16);
    at = lineEnd + 2 + size + 2;
    if (at > bytes.length) return undefined;
    if (size === 0) return { bytes: Buffer.concat(chunks), next: at };
    chunks.push(bytes.subarray(lineEnd + 2, lineEnd + 2 + size));
  }
}
