// What admins do, and what others notice of it: the page with many queues and jobs, half a million jobs cleaned, many listeners.
import { listening, meanwhile } from './meanwhile.mjs';
import { page } from './page.mjs';

// plan: {queues, jobs, visits, seconds, listeners}
export async function admin(plan) {
  return { page: await page(plan), meanwhile: await meanwhile(plan), listening: await listening(plan) };
}
