// Tokens as a client would hold them, and as an attacker would bend them.
import { createHmac, sign } from 'node:crypto';

const HASHES = { HS256: 'sha256', HS384: 'sha384', HS512: 'sha512' };
const encode = (value) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');

// The signature by an HMAC secret, or by a private key (RS256, ES256).
function signature(alg, key, signed) {
  if (HASHES[alg]) return createHmac(HASHES[alg], key).update(signed).digest('base64url');
  return sign('sha256', signed, { key, dsaEncoding: 'ieee-p1363' }).toString('base64url');
}

// The token of any header and claims: objects, or JSON text that is taken as it is.
export function signToken(key, header, claims, alg = header.alg) {
  const signed = `${encode(header)}.${encode(claims)}`;
  return `${signed}.${signature(alg, key, Buffer.from(signed))}`;
}

// A token under the secret or private key. Claims given as undefined are left out; `header` is merged into the header.
export function makeToken(key, { sub = 'tester', roles = ['admin'], org, ttl = 3600, alg = 'HS256', header = {}, ...claims } = {}) {
  const now = Math.floor(Date.now() / 1000);
  return signToken(key, { alg, typ: 'JWT', ...header }, { sub, roles, org, iat: now, exp: now + ttl, ...claims }, alg);
}
