// Bodies as a submitting service would send them, and declarations as an operator would write them.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryFolder } from './child.mjs';

export const documentJob = {
  documentId: '5f0c7c1e-8d0e-4b6a-9d64-0e1f6f2a7b11', userId: 'user-1', filename: 'document.pdf', mimeType: 'application/pdf', fileSize: 1024000,
};
export const notification = {
  userId: 'user-1', type: 'email', subject: 'Document Processed', message: 'Your document has been processed',
};
export const analysis = {
  documentId: '5f0c7c1e-8d0e-4b6a-9d64-0e1f6f2a7b11', userId: 'user-1', documentPath: '/documents/doc.pdf', mimeType: 'application/pdf',
  complianceFrameworks: ['GDPR', 'SOX'],
};

// Writes a file for SLUICE_QUEUES and gives its path.
export function declare(...queues) {
  const file = join(temporaryFolder('sluice-queues'), 'queues.json');
  writeFileSync(file, JSON.stringify({ queues }));
  return file;
}
