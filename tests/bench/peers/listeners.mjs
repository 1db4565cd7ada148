// Many listeners to events in a process of its own: node listeners.mjs URL TOKEN HOW_MANY. Prints "ready" when all of them listen, and at its end
// how much they were told, as JSON.
import { request } from 'node:http';

const [url, token, n] = process.argv.slice(2);
let bytes = 0;
let ended = 0;

function listen() {
  return new Promise((resolve, reject) => {
    const sent = request(`${url}/api/events`, { headers: { Authorization: `Bearer ${token}` }, agent: false }, (response) => {
      if (response.statusCode !== 200) reject(new Error(`status ${response.statusCode}`));
      response.on('data', (chunk) => (bytes += chunk.length)).on('close', () => ended++).on('error', () => {});
      resolve();
    });
    sent.on('error', reject).end();
  });
}

await Promise.all(Array.from({ length: Number(n) }, listen));
console.log('ready');
process.on('SIGTERM', () => {
  console.log(JSON.stringify({ bytes, ended }));
  process.exit();
});
