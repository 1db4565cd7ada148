/* A running gateway, for the commands that watch and steer it: where it is, under which token, one request at a time.
 *
 *     struct client_options o = {0};
 *     const struct option_row rows[] = {CLIENT_OPTIONS(o), ...};
 *     struct client c;
 *     enum cli_exit exit = client_open(&c, cli, &o);
 *     if (exit == CLI_OK) {
 *         struct buf path = BUF_INIT;
 *         client_path(&path, queue, NULL, "/pause");
 *         struct reply reply;
 *         exit = client_ask(&c, "POST", &path, STR("{}"), &reply);     CLI_FAILED: refused; CLI_UNREACHABLE
 *         ... reply.doc, or client_complain(&reply) ...
 *         reply_release(&reply);
 *     }
 *     client_close(&c);                                                always
 *
 * The one thread of a command. */
#ifndef SLUICE_GATEWAY_CLI_CLIENT_H
#define SLUICE_GATEWAY_CLI_CLIENT_H

#include "gateway/cli/cli.h"
#include "lib/fetch/fetch.h"
#include "lib/json/jdoc.h"

/* Values point into argv. */
struct client_options {
	const char *url, *token_file;
	bool json, help;
};

/* The rows of a command's table that are the same in all of them. */
#define CLIENT_OPTIONS(o)                                                                                                  \
	{"url", OPTION_STRING, &(o).url, "URL", "the gateway (SLUICE_URL, else the one at HOST and PORT)"},                    \
	{"token-file", OPTION_STRING, &(o).token_file, "FILE", "file with the token (SLUICE_TOKEN, SLUICE_TOKEN_FILE)"},       \
	{"help", OPTION_FLAG, &(o).help, NULL, "show this text"}
#define CLIENT_OPTION_JSON(o) {"json", OPTION_FLAG, &(o).json, NULL, "print the gateway's answer as JSON"}

struct client {
	struct fetcher *fetcher;
	struct buf base;   /* without a slash at its end */
	struct buf bearer; /* value of the Authorization header */
	int cancel_fd;     /* readable: a request ends at once; -1 (after client_open): never */
};

struct reply {
	int status; /* 0: none */
	struct buf text;
	struct jdoc doc;     /* of a success */
	struct arena memory; /* of doc, and free for what is made of it */
	const char *why;     /* of a failure; fit for a terminal */
	bool cancelled;      /* by the client's cancel_fd */
};

/* What is wrong has been told. */
enum cli_exit client_open(struct client *c, const struct cli *cli, const struct client_options *o) MUST_CHECK;
void client_close(struct client *c);

/* Appends "/api/queues", "/" and the queue's name, "/jobs/" and the job's id, and the rest; queue and job may be NULL. Names are encoded. */
void client_path(struct buf *path, const char *queue, const char *job, const char *rest);
/* "?name=value", or with & where there is a ?; the value is encoded. Nothing when it is NULL. */
void client_query(struct buf *path, const char *name, const char *value);

/* body.p NULL: none. CLI_FAILED, CLI_UNREACHABLE: reply->why says it. Releases path; release *reply in every case. */
enum cli_exit client_ask(struct client *c, const char *method, struct buf *path, struct str body, struct reply *reply) MUST_CHECK;
/* The same, and tells on stderr what went wrong. */
enum cli_exit client_ask_or_tell(struct client *c, const char *method, struct buf *path, struct str body, struct reply *reply) MUST_CHECK;
void reply_release(struct reply *reply);

/* The answer on stdout as it came, fit for a terminal. */
enum cli_exit client_print_json(const struct reply *reply);

/* What cannot be undone is asked about on a terminal, and elsewhere needs --yes. CLI_OK: go on; else it has been told. */
enum cli_exit client_confirm(const char *queue, bool yes) MUST_CHECK;

/* Reading answers: STR_NONE, -1, false where there is none. */
struct str reply_text(struct reply *reply, uint32_t object, const char *name);
int64_t reply_number(const struct reply *reply, uint32_t object, const char *name);
double reply_rate(const struct reply *reply, uint32_t object, const char *name);
bool reply_flag(const struct reply *reply, uint32_t object, const char *name);

#endif
