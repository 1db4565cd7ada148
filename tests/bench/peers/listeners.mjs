// Many listeners to events in a process of its own: node listeners.mjs URL TOKEN HOW_MANY. Prints "ready" when all of them listen, and at its end
// how much they were told, in how many pieces, as JSON. What comes is counted and not looked at, since the listeners share the cores with the rest.
import { connect } from 'node:net';

const [url, token, n] = process.argv.slice(2);
const { hostname: host, port } = new URL(url);
const room = Buffer.alloc(256 << 10); // of all of them
let bytes = 0;
let pieces = 0;
let ended = 0;

function listen() {
  return new Promise((resolve, reject) => {
    let isOpen = false;
    const open = (head) => {
      isOpen = head.startsWith('HTTP/1.1 200');
      if (isOpen) resolve();
      else reject(new Error(head));
    };
    const callback = (length) => {
      if (!isOpen) open(room.toString('latin1', 0, length));
      bytes += length;
      pieces++;
      return true;
    };
    const socket = connect({ host, port, onread: { buffer: room, callback } });
    socket.on('close', () => ended++).on('error', reject);
    socket.write(`GET /api/events HTTP/1.1\r\nHost: ${host}\r\nAuthorization: Bearer ${token}\r\n\r\n`);
  });
}

await Promise.all(Array.from({ length: Number(n) }, listen));
console.log('ready');
process.on('SIGTERM', () => {
  console.log(JSON.stringify({ bytes, pieces, ended }));
  process.exit();
});
