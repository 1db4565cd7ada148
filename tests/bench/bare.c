/* A gateway with nothing in it: civetweb's threads, and the calls of lib/bullmq. No token, no check of the payload, no options, nothing logged or
 * counted. What Sluice answers below this rate is what everything else costs; what it cannot answer above it is HTTP and Redis.
 *
 *     bare THREADS SOCKET     prints "listening PORT"; ends with SIGTERM
 *
 * POST adds the body to the queue "bare" of database 0 and answers the id; GET /ID answers the state of that job. */
#include <civetweb.h>
#include <signal.h>
#include <stdio.h>

#include "tests/bench/store.h"

#define BODY_MAX 4096

struct world {
	struct store store;
	struct bq_queue queue;
};

static int answer(struct mg_connection *conn, int status, struct str id, const char *state)
{
	char text[256], body[128];
	int n = snprintf(body, sizeof(body), "{\"jobId\":\"%.*s\",\"state\":\"%s\"}", STR_ARG(id), state);
	int all = snprintf(text, sizeof(text), "HTTP/1.1 %d OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", status, n, body);

	mg_write(conn, text, (size_t)all);
	return status;
}

static int add(struct world *w, struct mg_connection *conn, struct arena *a)
{
	char body[BODY_MAX];
	size_t n = 0;
	struct bq_added added;
	struct err err;

	for (int got; n < sizeof(body) && (got = mg_read(conn, body + n, sizeof(body) - n)) > 0;)
		n += (size_t)got;
	struct bq_add job = {.name = STR("send-notification"), .data = {body, n}};
	bq_opts_init(&job.opts);
	if (bq_add(w->store.bq, &w->queue, &job, a, &added, clock_mono_ms() + STORE_PATIENCE_MS, &err) < 0)
		return answer(conn, 503, STR("0"), err.text);
	return answer(conn, 201, added.id, "waiting");
}

static int look(struct world *w, struct mg_connection *conn, struct arena *a)
{
	struct str id = str_from(mg_get_request_info(conn)->local_uri + 1);
	struct bq_job job;
	struct err err;

	if (bq_status(w->store.bq, &w->queue, id, true, a, &job, clock_mono_ms() + STORE_PATIENCE_MS, &err) < 0)
		return answer(conn, 404, STR("0"), err.text);
	return answer(conn, 200, id, bq_state_word(job.state));
}

static int handle(struct mg_connection *conn)
{
	const struct mg_request_info *info = mg_get_request_info(conn);
	struct world *w = info->user_data;
	struct arena a;

	arena_init(&a, 0);
	int status = info->request_method[0] == 'P' ? add(w, conn, &a) : look(w, conn, &a);
	arena_release(&a);
	return status;
}

int main(int argc, char **argv)
{
	static struct world w;
	const struct mg_callbacks callbacks = {.begin_request = handle};
	struct mg_server_port port;
	struct err err = {0};
	sigset_t ends;
	int sig;

	if (argc != 3) {
		fprintf(stderr, "usage: bare THREADS SOCKET\n");
		return 2;
	}
	const char *options[] = {"listening_ports", "127.0.0.1:0", "num_threads", argv[1], "enable_keep_alive", "yes", "tcp_nodelay", "1",
				 "keep_alive_timeout_ms", "2000", NULL};
	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGINT);
	sigprocmask(SIG_BLOCK, &ends, NULL);
	store_open(&w.store, "bare", argv[2], NULL);
	if (bq_queue_init(&w.queue, STR("bull"), STR("bare"), &err) < 0)
		store_die("bare", "the queue", &err);
	struct mg_context *context = mg_start(&callbacks, &w, options);
	if (!context || mg_get_server_ports(context, 1, &port) != 1) {
		fprintf(stderr, "bare: it does not start\n");
		return 1;
	}
	printf("listening %d\n", port.port);
	fflush(stdout);
	sigwait(&ends, &sig);
	mg_stop(context);
	store_stop(&w.store);
	bq_queue_release(&w.queue);
	store_close(&w.store);
	return 0;
}
