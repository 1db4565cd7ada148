/* Where the master of a group of Redis servers is, as its sentinels last told (rsentinel.h). Whoever connects asks here. Any thread. */
#ifndef SLUICE_REDIS_RMASTER_H
#define SLUICE_REDIS_RMASTER_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/attr.h"
#include "lib/base/err.h"

#define RMASTER_NAME_SIZE 128
#define RMASTER_HOST_SIZE 256

struct rmaster_place {
	char host[RMASTER_HOST_SIZE];
	int port;
	uint64_t number; /* of the place: another master has another one */
};

struct rmaster;

struct rmaster *rmaster_new(const char *name); /* NULL: no memory */
void rmaster_free(struct rmaster *m);
const char *rmaster_name(const struct rmaster *m);

/* ERR_UNAVAILABLE while nobody has told. Who asks is about to connect, mostly because a connection broke: the sentinels are asked anew,
 * for the next time. */
int rmaster_where(struct rmaster *m, struct rmaster_place *out, struct err *err) MUST_CHECK;
/* The same, but waits until somebody has told, or the deadline has passed. */
int rmaster_await(struct rmaster *m, int64_t deadline_mono_ms, struct err *err) MUST_CHECK;
/* Is the master somewhere else than there by now? */
bool rmaster_has_moved(const struct rmaster *m, uint64_t number);

/* The asking side. */
/* True: it was told of another place before, or of none. */
bool rmaster_tell(struct rmaster *m, const char *host, int port);
void rmaster_tell_trouble(struct rmaster *m, const struct err *why);
/* Waits until somebody wants to know: true; or rmaster_wake was called, or the deadline has passed: false. */
bool rmaster_await_doubt(struct rmaster *m, int64_t deadline_mono_ms);
void rmaster_wake(struct rmaster *m);

#endif
