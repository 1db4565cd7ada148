/* What is measured only when somebody looks: the gauges of queues and of the connection to Redis, brought up to date for a
 * scrape of /metrics. Three round trips to Redis for all declared queues; when it is away the last values stay and sluice_redis_up is 0. */
#ifndef SLUICE_GATEWAY_OBSERVE_H
#define SLUICE_GATEWAY_OBSERVE_H

struct app;

/* Any thread. */
void observe(struct app *app);

#endif
