/* civetweb alone: how many requests a second it answers when the handler does nothing. What stands above that is what everything else costs.
 *
 *     civetweb THREADS        prints "listening PORT"; ends with SIGTERM */
#include <civetweb.h>
#include <signal.h>
#include <stdio.h>

static int answer(struct mg_connection *conn)
{
	static const char text[] = "HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
	char sink[4096];

	while (mg_read(conn, sink, sizeof(sink)) > 0)
		;
	mg_write(conn, text, sizeof(text) - 1);
	return 201;
}

int main(int argc, char **argv)
{
	const char *options[] = {"listening_ports", "127.0.0.1:0", "num_threads", argc > 1 ? argv[1] : "512", "enable_keep_alive", "yes",
				 "tcp_nodelay", "1", "keep_alive_timeout_ms", "2000", NULL};
	const struct mg_callbacks callbacks = {.begin_request = answer};
	struct mg_server_port port;
	sigset_t ends;
	int sig;

	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGINT);
	sigprocmask(SIG_BLOCK, &ends, NULL);
	struct mg_context *context = mg_start(&callbacks, NULL, options);
	if (!context || mg_get_server_ports(context, 1, &port) != 1) {
		fprintf(stderr, "civetweb: it does not start\n");
		return 1;
	}
	printf("listening %d\n", port.port);
	fflush(stdout);
	sigwait(&ends, &sig);
	mg_stop(context);
	return 0;
}
