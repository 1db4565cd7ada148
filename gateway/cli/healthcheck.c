#include <errno.h>
#include <netinet/in.h>
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/cli/cli.h"
#include "lib/base/clock.h"

#define ANSWER_MAX_BYTES ((size_t)16 << 10)

static int ms_left(int64_t deadline)
{
	int64_t left = deadline - clock_mono_ms();
	return left > 0 ? (int)left : 0;
}

static int connect_to(const struct sockaddr_in *to, int64_t deadline, struct err *err)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_errno(err, "a socket cannot be had");
	struct pollfd p = {fd, POLLOUT, 0};
	int failure = 0;
	socklen_t size = sizeof(failure);
	bool begun = connect(fd, (const struct sockaddr *)to, sizeof(*to)) == 0 || errno == EINPROGRESS;
	if (begun && poll(&p, 1, ms_left(deadline)) != 1)
		failure = ETIMEDOUT;
	else if (!begun || getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &size) < 0)
		failure = errno;
	if (failure == 0)
		return fd;
	close(fd);
	errno = failure;
	return err_errno(err, "no answer");
}

/* The whole answer up to the end of the connection. */
static int receive(int fd, int64_t deadline, struct buf *answer, struct err *err)
{
	char piece[4096];
	for (;;) {
		struct pollfd p = {fd, POLLIN, 0};
		if (poll(&p, 1, ms_left(deadline)) == 0)
			return err_set(err, ERR_TIMEOUT, "no answer in time");
		ssize_t n = recv(fd, piece, sizeof(piece), 0);
		if (n == 0)
			return 0;
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n < 0)
			return err_errno(err, "no answer");
		buf_add(answer, piece, (size_t)n);
		if (answer->failed || answer->n > ANSWER_MAX_BYTES)
			return err_set(err, ERR_PROTOCOL, "the answer is no health report");
	}
}

static int ask(const char *host, int port, int64_t deadline, struct buf *answer, struct err *err)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	if (strcmp(host, "localhost") == 0 || strcmp(host, "0.0.0.0") == 0)
		host = "127.0.0.1";
	if (inet_pton(AF_INET, host, &to.sin_addr) != 1)
		return err_set(err, ERR_INVALID, "%s is no IPv4 address", host);
	int fd = connect_to(&to, deadline, err);
	if (fd < 0)
		return fd;
	char request[128];
	int n = snprintf(request, sizeof(request), "GET /health/ready HTTP/1.1\r\nHost: %s:%d\r\nConnection: close\r\n\r\n", host, port);
	int rc = send(fd, request, (size_t)n, MSG_NOSIGNAL) == n ? receive(fd, deadline, answer, err) : err_errno(err, "no answer");
	close(fd);
	return rc;
}

/* "200" of "HTTP/1.1 200 OK…"; empty when this is no HTTP. */
static struct str status_of(struct str answer)
{
	return str_starts(answer, STR("HTTP/1.1 ")) && answer.n >= 12 ? str_sub(answer, 9, 3) : STR("");
}

static struct str body_of(struct str answer)
{
	const char *end = answer.n ? memmem(answer.p, answer.n, "\r\n\r\n", 4) : NULL;
	return end ? str_sub(answer, (size_t)(end - answer.p) + 4, answer.n - (size_t)(end - answer.p) - 4) : STR("");
}

struct probe {
	const char *host; /* NULL: HOST */
	int64_t port;     /* 0: PORT */
	int64_t timeout_ms;
};

static enum cli_exit run(const struct config *cfg, void *arg)
{
	const struct probe *p = arg;
	struct buf answer = BUF_INIT;
	struct err err = {0};
	int rc = ask(p->host ? p->host : cfg->host, (int)(p->port ? p->port : cfg->port), clock_mono_ms() + p->timeout_ms, &answer, &err);
	struct str status = status_of(buf_str(&answer)), body = str_trim(body_of(buf_str(&answer)));
	bool ready = rc == 0 && str_is(status, "200");
	if (ready)
		puts("ready");
	else if (rc < 0)
		printf("not ready: %s\n", err.text);
	else
		printf("not ready: HTTP %.*s %.*s\n", STR_ARG(status), STR_ARG(body));
	buf_release(&answer);
	return ready ? CLI_OK : CLI_FAILED;
}

enum cli_exit cmd_healthcheck(const struct cli *cli, int argc, char **argv)
{
	struct probe probe = {.timeout_ms = 3000};
	bool help = false;
	const struct option_row rows[] = {
		{"host", OPTION_STRING, &probe.host, "ADDRESS", "where it listens (HOST)"},
		{"port", OPTION_INT, &probe.port, "N", "where it listens (PORT)"},
		{"timeout-ms", OPTION_INT, &probe.timeout_ms, "N", "how long to wait (3000)"},
		{"help", OPTION_FLAG, &help, NULL, "show this text"},
		{0},
	};
	const struct options o = {.usage = "sluice healthcheck [options]",
				  .about = "Ask a running gateway's /health/ready; the exit code is 0 when it is ready, else 1.",
				  .rows = rows};
	return cli_with_settings(cli, &o, &help, argc, argv, run, &probe);
}
