// What the pages share: the server they are told of, its script, and tokens as the published examples make them.
const setting = new URLSearchParams(location.search);
const status = (text) => (document.getElementById('status').textContent += `${text};`);
const load = (src) => new Promise((resolve, reject) => {
  const script = Object.assign(document.createElement('script'), { src, onload: resolve, onerror: reject });
  document.head.append(script);
});
const base64 = (bytes) => btoa(String.fromCharCode(...new Uint8Array(bytes))).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
async function hmac(key, text) {
  const imported = await crypto.subtle.importKey('raw', key, { name: 'HMAC', hash: 'SHA-256' }, false, ['sign']);
  return crypto.subtle.sign('HMAC', imported, new TextEncoder().encode(text));
}
async function createJWT(application, secret, user) {
  const iat = Math.floor(Date.now() / 1000);
  const day = new Date(iat * 1000).toISOString().slice(0, 10).replaceAll('-', '');
  const iss = `//rtc.sinch.com/applications/${application}`;
  const part = (value) => base64(new TextEncoder().encode(JSON.stringify(value)));
  const claims = { iss, sub: `${iss}/users/${user}`, iat, exp: iat + 600, nonce: crypto.randomUUID() };
  const input = `${part({ alg: 'HS256', kid: `hkdfv1-${day}` })}.${part(claims)}`;
  const key = await hmac(Uint8Array.from(atob(secret), (c) => c.charCodeAt(0)), day);
  return `${input}.${base64(await hmac(key, input))}`;
}

