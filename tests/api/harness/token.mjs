// Tokens as a client would hold them, and as an attacker would bend them.
import { createHmac } from 'node:crypto';

const HASHES = { HS256: 'sha256', HS384: 'sha384', HS512: 'sha512' };
const encode = (value) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');

// A token under the secret. Claims given as undefined are left out; `header` is merged into the header.
export function makeToken(secret, { sub = 'tester', roles = ['admin'], org, ttl = 3600, alg = 'HS256', header = {}, ...claims } = {}) {
  const now = Math.floor(Date.now() / 1000);
  const signed = `${encode({ alg, typ: 'JWT', ...header })}.${encode({ sub, roles, org, iat: now, exp: now + ttl, ...claims })}`;
  return `${signed}.${createHmac(HASHES[alg], secret).update(signed).digest('base64url')}`;
}
