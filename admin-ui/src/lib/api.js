// Calls to the server. Answers are kept as text, too: a job's data is shown as it came, and numbers past 2^53 would not survive parsing.
import { createStore } from './store.js';

const TIMEOUT = 30_000;

// Who is signed in; null until the server has said. ended: nobody is any more, and did not wish so.
export const session = createStore(null);
export const can = (operation) => session.get()?.may.includes(operation) ?? false;

// The same for what is done with records, which not every installation keeps.
export const canRecords = (operation) => can(operation) && session.get().records;

// An error answer (RFC 9457), or code "network" when there was none.
export class Problem extends Error {
  constructor(status, body = {}) {
    super(body.detail ?? body.title ?? `HTTP ${status}`);
    Object.assign(this, { status, code: body.code ?? `http-${status}`, title: body.title, detail: body.detail, errors: body.errors ?? [], instance: body.instance, checks: body.checks });
  }
}

async function send(method, path, { body, headers, signal } = {}) {
  const timeout = AbortSignal.timeout(TIMEOUT);
  try {
    return await fetch(path, {
      method, headers: body === undefined ? headers : { 'Content-Type': 'application/json', ...headers },
      body: typeof body === 'string' || body === undefined ? body : JSON.stringify(body),
      credentials: 'same-origin', signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
    });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Problem(0, { code: 'network', detail: error.message });
  }
}

async function problemOf(response) {
  const body = await response.json().catch(() => ({}));
  const problem = new Problem(response.status, body);
  if (response.status === 401 && session.get()?.sub) session.set({ ...session.get(), sub: null, may: [], roles: [], ended: true });
  return problem;
}

// {text, json, status, etag, location}, json null with `raw`; with an etag that still holds only {unchanged}. Throws a Problem.
export async function request(method, path, { etag, raw = false, headers = {}, ...options } = {}) {
  const response = await send(method, path, { ...options, headers: etag ? { ...headers, 'If-None-Match': etag } : headers });
  if (response.status === 304) return { unchanged: true };
  if (!response.ok) throw await problemOf(response);
  const text = await response.text();
  const isJson = !raw && /json/.test(response.headers.get('Content-Type') ?? '');
  return {
    text, json: isJson && text ? JSON.parse(text) : null, status: response.status,
    etag: response.headers.get('ETag'), location: response.headers.get('Location'),
  };
}

export const get = async (path, options) => (await request('GET', path, options)).json;
export const post = async (path, body = {}) => (await request('POST', path, { body })).json;

export async function loadSession() {
  session.set(await get('/api/session'));
}

export async function signIn(token) {
  session.set(await post('/api/session', { token }));
}

export async function signOut() {
  await request('DELETE', '/api/session');
  await loadSession();
}
