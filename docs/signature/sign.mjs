// Signs a Begin in Node. No package needed. The nonce: crypto.randomUUID(), anew for each.

import { createHash, createHmac } from 'node:crypto';

export function signV1(key, integrationId, connectionId) {
  return createHmac('sha256', key).update(`${integrationId}:${connectionId}`).digest('hex');
}

const netstrings = (...fields) => fields.map((field) => `${Buffer.byteLength(String(field))}:${field},`).join('');

export function signV2(key, projectId, integrationId, connectionId, expiry, nonce, request = {}) {
  const { connectionConfig = {}, authorizationParams = {}, scopes = [], userScopes = [], returnUrl = '' } = request;
  const map = (name, fields) =>
    netstrings(name, Object.keys(fields).length, ...Object.keys(fields).sort().flatMap((it) => [it, fields[it]]));
  const content =
    map('connection_config', connectionConfig) +
    map('authorization_params', authorizationParams) +
    netstrings('scopes', scopes.length, ...scopes) +
    netstrings('user_scopes', userScopes.length, ...userScopes) +
    netstrings('return_url', returnUrl);
  const digest = createHash('sha256').update(content).digest('hex');
  const message = netstrings('tokenwell-begin-v2', projectId, integrationId, connectionId, expiry, digest, nonce);
  return `t=${expiry},n=${nonce},v2=${createHmac('sha256', key).update(message).digest('hex')}`;
}

if (import.meta.filename === process.argv[1]) {
  const key = '0123456789abcdef0123456789abcdef';
  console.log(signV1(key, 'zendesk', 'user-1'));
  console.log(
    signV2(key, 'default', 'zendesk', 'user-1', 1790000600, 'n-1', {
      connectionConfig: { subdomain: 'acme' },
      authorizationParams: { login_hint: 'zoë', b: '2' },
      scopes: ['read', 'write'],
      returnUrl: 'https://app.example.com/done',
    }),
  );
}
