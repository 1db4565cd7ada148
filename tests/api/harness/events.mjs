// A listener to Server-Sent Events that takes the text apart as browsers do.
import { request as httpRequest } from 'node:http';
import { eventually } from './eventually.mjs';

// Resolves with the stream when its head has come; a refusal is {status, json}.
export function listen(client, path, { headers = {}, port = client.port } = {}) {
  return new Promise((resolve, reject) => {
    const authorization = client.token ? { authorization: `Bearer ${client.token}` } : {};
    const request = httpRequest({ host: '127.0.0.1', port, path, agent: false, headers: { accept: 'text/event-stream', ...authorization, ...headers } });
    request.on('error', reject).on('response', async (response) => {
      if (response.statusCode === 200) {
        const listener = new Listener(request, response);
        await client.check({ method: 'GET', path, status: 200, headers: response.headers });
        resolve(listener);
        return;
      }
      const chunks = await response.toArray();
      const text = Buffer.concat(chunks).toString();
      const answer = { status: response.statusCode, headers: response.headers, bytes: Buffer.from(text), text, json: JSON.parse(text) };
      await client.check({ method: 'GET', path, ...answer });
      resolve(answer);
    });
    request.end();
  });
}

class Listener {
  status = 200;
  events = []; // {type, id, data}
  comments = 0;
  lastId = '';
  ended = false;
  #rest = '';
  #id = '';
  #event = { type: 'message', data: [] };

  constructor(request, response) {
    Object.assign(this, { request, response, headers: response.headers });
    response.setEncoding('utf8').on('data', (text) => this.#take(text)).on('error', () => {}).on('close', () => (this.ended = true));
  }

  #take(text) {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop();
    for (const line of lines) this.#line(line);
  }

  #line(line) {
    const colon = line.indexOf(':');
    const [field, value] = colon < 0 ? [line, ''] : [line.slice(0, colon), line.slice(colon + 1).replace(/^ /, '')];
    if (line === '') this.#dispatch();
    else if (field === '') this.comments++;
    else if (field === 'id') this.#id = value;
    else if (field === 'event') this.#event.type = value;
    else if (field === 'data') this.#event.data.push(value);
    else if (field === 'retry') this.retry = Number(value);
  }

  #dispatch() {
    const { type, data } = this.#event;
    this.lastId = this.#id; // only now: an event that broke off has not been received
    this.#event = { type: 'message', data: [] };
    if (data.length) this.events.push({ type, id: this.lastId, data: JSON.parse(data.join('\n')) });
  }

  of = (type) => this.events.filter((event) => event.type === type);

  // Resolves with the first event for which fits(event) holds.
  when(fits, options = {}) {
    return eventually(() => this.events.find(fits), { timeout: 30_000, what: 'the event', ...options });
  }

  close() {
    this.request.destroy();
  }
}
