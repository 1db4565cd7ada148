// What a test imports.
export { Child, processesOf, temporaryFolder } from './child.mjs';
export { Contract } from './contract.mjs';
export { eventually } from './eventually.mjs';
export { listen } from './events.mjs';
export { Client, parseResponses, sendRaw } from './http.mjs';
export { startPostgres } from './postgres.mjs';
export { freePort, startRedis } from './redis.mjs';
export { analysis, declare, documentJob, notification } from './samples.mjs';
export { startGroup } from './sentinel.mjs';
export { BUILD, RELEASE, ROOT, SLUICE, cleanEnvironment, runSluice, startSluice } from './sluice.mjs';
export { failedJobs, openStage } from './stage.mjs';
export { Terminal } from './terminal.mjs';
export { makeToken, signToken } from './token.mjs';
