/* The Redis on a Unix socket that a benchmark's program works on; without it the program ends.
 *
 *     struct store s;
 *     store_open(&s, "adds", argv[1], NULL);
 *     ... s.bq ...
 *     store_stop(&s);                          no callback runs any more
 *     store_close(&s); */
#ifndef SLUICE_TESTS_BENCH_STORE_H
#define SLUICE_TESTS_BENCH_STORE_H

#include <stdio.h>
#include <stdlib.h>

#include "lib/base/clock.h"
#include "lib/bullmq/bq.h"

#define STORE_PATIENCE_MS 30000

struct store {
	struct raddr addr;
	struct rmux *mux;
	struct bq *bq;
};

static inline _Noreturn void store_die(const char *program, const char *what, const struct err *err)
{
	fprintf(stderr, "%s: %s: %s\n", program, what, err->text);
	exit(1);
}

static inline void store_open(struct store *s, const char *program, const char *socket, struct log *log)
{
	struct err err = {0};

	*s = (struct store){0};
	snprintf(s->addr.unix_path, sizeof(s->addr.unix_path), "%s", socket);
	const struct rmux_options options = {.addr = s->addr, .log = log};
	s->mux = rmux_new(&options, &err);
	s->bq = s->mux ? bq_new(s->mux, &err) : NULL;
	if (!s->bq || rmux_start(s->mux, &err) < 0 || rmux_wait_up(s->mux, clock_mono_ms() + STORE_PATIENCE_MS) < 0)
		store_die(program, "no connection", &err);
}

static inline void store_stop(struct store *s)
{
	rmux_stop(s->mux, clock_mono_ms() + STORE_PATIENCE_MS);
}

static inline void store_close(struct store *s)
{
	bq_free(s->bq);
	rmux_free(s->mux);
}

#endif
