// The peer: NestJS with @nestjs/bullmq, as its documentation sets it up, without decorators (they need a compiler) and without
// authorization or validation.
//
//     node nest.mjs REDIS_SOCKET        prints "listening PORT"
import 'reflect-metadata';
import { BullModule, getQueueToken } from '@nestjs/bullmq';
import { Body, Controller, Inject, Module, Post } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { OPTIONS } from './shared.mjs';

class JobsController {
  constructor(queue) {
    this.queue = queue;
  }

  async create(data) {
    const job = await this.queue.add('send-notification', data, OPTIONS);
    return { jobId: job.id, queue: this.queue.name, name: job.name, state: 'waiting', created: true, statusUrl: `/status/${job.id}` };
  }
}
Controller('jobs')(JobsController);
Post()(JobsController.prototype, 'create', Object.getOwnPropertyDescriptor(JobsController.prototype, 'create'));
Body()(JobsController.prototype, 'create', 0);
Inject(getQueueToken('notifications'))(JobsController, undefined, 0);

class AppModule {}
Module({
  imports: [
    BullModule.forRoot({ connection: { path: process.argv[2], maxRetriesPerRequest: null } }),
    BullModule.registerQueue({ name: 'notifications' }),
  ],
  controllers: [JobsController],
})(AppModule);

const app = await NestFactory.create(AppModule, { logger: false });
await app.listen(0, '127.0.0.1');
console.log(`listening ${app.getHttpServer().address().port}`);
