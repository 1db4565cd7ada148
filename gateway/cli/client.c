#include "gateway/cli/client.h"

#include <unistd.h>

#include <openssl/crypto.h>

#include "gateway/cli/printable.h"
#include "lib/base/clock.h"
#include "lib/base/fs.h"

#define TOKEN_MAX_BYTES ((size_t)16 << 10)
#define ANSWER_MAX_BYTES ((size_t)256 << 20)
#define ANSWER_MS 30000 /* a drain takes the gateway a few seconds */
#define SAID_MAX_BYTES 4000

/* A gateway is whom its user names: every address may be reached. */
static const char *const everywhere[] = {"0.0.0.0/0", "[::]/0"};

/* As deep and as large as the gateway lets a job's data be, and what stands around it. */
static const struct jdoc_limits limits = {.max_depth = 80, .max_nodes = 4000000};

/* ---- where, and under which token ---- */

static void add_local_url(struct buf *out, const struct config *cfg)
{
	const char *host = strcmp(cfg->host, "0.0.0.0") == 0 ? "127.0.0.1" : cfg->host;
	buf_addf(out, "http://%s:%lld", host, (long long)cfg->port);
}

static enum cli_exit find_base(struct client *c, const struct config *cfg, const struct client_options *o)
{
	struct err err = {0};
	const char *given = o->url ? o->url : cfg->client_url;
	if (*given)
		buf_addz(&c->base, given);
	else
		add_local_url(&c->base, cfg);
	if (fetch_url_check(buf_str(&c->base), &err) < 0)
		return cli_misuse("the address of the gateway: %s", err.text);
	if (memchr(c->base.p, '?', c->base.n) || memchr(c->base.p, '#', c->base.n))
		return cli_misuse("the address of the gateway: it has a ? or a #");
	while (c->base.p[c->base.n - 1] == '/')
		c->base.p[--c->base.n] = '\0';
	return CLI_OK;
}

static enum cli_exit find_token(struct client *c, const struct config *cfg, const struct client_options *o)
{
	struct err err = {0};
	buf_addz(&c->bearer, "Bearer ");
	size_t before = c->bearer.n;
	if (o->token_file && fs_read_file(o->token_file, TOKEN_MAX_BYTES, &c->bearer, &err) < 0)
		return cli_misuse("--token-file: %s", err.text);
	if (!o->token_file)
		buf_addz(&c->bearer, cfg->client_token);
	while (c->bearer.n > before && strchr("\r\n", c->bearer.p[c->bearer.n - 1]))
		c->bearer.p[--c->bearer.n] = '\0';
	if (c->bearer.n == before)
		return cli_misuse("a token is needed: --token-file, SLUICE_TOKEN or SLUICE_TOKEN_FILE (sluice token --sub ID --role ROLE prints one)");
	if (c->bearer.failed || !fetch_header_ok(STR("Authorization"), buf_str(&c->bearer)))
		return cli_misuse("what was given as token is none");
	return CLI_OK;
}

static enum cli_exit open_with(struct client *c, const struct config *cfg, const struct client_options *o)
{
	const struct fetcher_options options = {.allow = everywhere, .n_allow = ARRAY_LEN(everywhere), .ca_file = cfg->fetch_ca_file};
	struct err err = {0};
	enum cli_exit exit = find_base(c, cfg, o);
	if (exit == CLI_OK)
		exit = find_token(c, cfg, o);
	if (exit != CLI_OK)
		return exit;
	c->fetcher = fetcher_new(&options, &err);
	return c->fetcher ? CLI_OK : cli_fail("%s", err.text);
}

enum cli_exit client_open(struct client *c, const struct cli *cli, const struct client_options *o)
{
	*c = (struct client){.cancel_fd = -1};
	printable_begin();
	struct config cfg;
	enum cli_exit exit = cli_config(cli, NULL, &cfg);
	if (exit == CLI_OK)
		exit = open_with(c, &cfg, o);
	config_release(&cfg);
	return exit;
}

void client_close(struct client *c)
{
	fetcher_free(c->fetcher);
	if (c->bearer.p)
		OPENSSL_cleanse(c->bearer.p, c->bearer.n);
	buf_release(&c->bearer);
	buf_release(&c->base);
}

/* ---- a request ---- */

/* A segment of dots alone would be taken for a way through folders. */
static void add_encoded(struct buf *out, const char *name)
{
	bool only_dots = name[strspn(name, ".")] == '\0';
	for (const char *p = name; *p; p++) {
		bool plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') || strchr("-_~", *p) ||
			     (*p == '.' && !only_dots);
		if (plain)
			buf_addc(out, *p);
		else
			buf_addf(out, "%%%02X", (unsigned char)*p);
	}
}

void client_path(struct buf *path, const char *queue, const char *job, const char *rest)
{
	buf_addz(path, "/api/queues");
	if (queue) {
		buf_addc(path, '/');
		add_encoded(path, queue);
	}
	if (job) {
		buf_addz(path, "/jobs/");
		add_encoded(path, job);
	}
	buf_addz(path, rest);
}

void client_query(struct buf *path, const char *name, const char *value)
{
	if (!value)
		return;
	buf_addf(path, "%c%s=", path->n && memchr(path->p, '?', path->n) ? '&' : '?', name);
	add_encoded(path, value);
}

static const char *keep(struct reply *reply, struct buf *sentence)
{
	const char *kept = sentence->failed ? NULL : arena_dupz(&reply->memory, buf_str(sentence));
	buf_release(sentence);
	return kept ? kept : "out of memory";
}

/* "it is paused (409 conflict); /reason: is too long" */
static const char *problem_of(struct reply *reply)
{
	struct buf b = BUF_INIT;
	struct str detail = reply_text(reply, JDOC_ROOT, "detail"), code = reply_text(reply, JDOC_ROOT, "code");
	uint32_t errors = jdoc_get(&reply->doc, JDOC_ROOT, "errors");
	b.max = SAID_MAX_BYTES;
	printable_add(&b, detail.p ? detail : STR("the gateway says no"));
	buf_addf(&b, " (HTTP %d%s", reply->status, code.n ? " " : "");
	printable_add(&b, code);
	buf_addc(&b, ')');
	for (uint32_t e = jdoc_first(&reply->doc, errors); e != JDOC_NONE; e = jdoc_next(&reply->doc, errors, e)) {
		buf_addz(&b, "; ");
		printable_add(&b, reply_text(reply, e, "pointer"));
		buf_addc(&b, ' ');
		printable_add(&b, reply_text(reply, e, "detail"));
	}
	return keep(reply, &b);
}

static enum cli_exit unreachable(const struct client *c, struct reply *reply, const struct err *err)
{
	struct buf b = BUF_INIT;
	buf_addf(&b, "%s: ", c->base.p);
	printable_add(&b, str_from(err->text));
	reply->why = keep(reply, &b);
	return CLI_UNREACHABLE;
}

static enum cli_exit judge(const struct client *c, struct reply *reply, bool truncated)
{
	struct buf b = BUF_INIT;
	bool is_json = !truncated && jdoc_parse(&reply->doc, &reply->memory, buf_str(&reply->text), &limits, NULL) == 0;
	if (is_json && reply->status >= 200 && reply->status <= 299)
		return CLI_OK;
	if (is_json && reply->status >= 400) {
		reply->why = problem_of(reply);
		return CLI_FAILED;
	}
	buf_addf(&b, "%s: %s (HTTP %d)", c->base.p, truncated ? "the answer is too large" : "what answers there is no gateway", reply->status);
	reply->why = keep(reply, &b);
	return CLI_FAILED;
}

enum cli_exit client_ask(struct client *c, const char *method, struct buf *path, struct str body, struct reply *reply)
{
	const struct fetch_header headers[] = {
		{STR("Authorization"), buf_str(&c->bearer)}, {STR("Accept"), STR("application/json")}, {STR("Content-Type"), STR("application/json")}};
	struct buf url = BUF_INIT;
	buf_adds(&url, buf_str(&c->base));
	buf_adds(&url, buf_str(path));
	url.failed |= path->failed;
	buf_release(path);
	const struct fetch_request rq = {
		.method = method,
		.url = buf_str(&url),
		.headers = headers,
		.n_headers = body.p ? 3 : 2,
		.body = body,
		.deadline_mono_ms = clock_mono_ms() + ANSWER_MS,
		.max_response_bytes = ANSWER_MAX_BYTES,
		.cancel_fd = c->cancel_fd,
		.reuse = strcmp(method, "GET") == 0,
	};
	struct fetch_response rs = {0};
	struct err err = {0};
	*reply = (struct reply){0};
	arena_init(&reply->memory, 0);
	int rc = url.failed ? err_set(&err, ERR_NOMEM, "out of memory") : fetch(c->fetcher, &rq, &rs, &err);
	buf_release(&url);
	reply->status = rs.status;
	reply->text = rs.body;
	reply->cancelled = rc == ERR_STOPPING;
	return rc < 0 ? unreachable(c, reply, &err) : judge(c, reply, rs.truncated);
}

enum cli_exit client_ask_or_tell(struct client *c, const char *method, struct buf *path, struct str body, struct reply *reply)
{
	enum cli_exit exit = client_ask(c, method, path, body, reply);
	if (exit != CLI_OK)
		(void)cli_fail("%s", reply->why);
	return exit;
}

void reply_release(struct reply *reply)
{
	buf_release(&reply->text);
	arena_release(&reply->memory);
}

enum cli_exit client_print_json(const struct reply *reply)
{
	struct buf out = BUF_INIT;
	printable_add_json(&out, buf_str(&reply->text));
	return cli_print(&out);
}

enum cli_exit client_confirm(const char *queue, bool yes)
{
	char typed[512];
	if (yes)
		return CLI_OK;
	if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
		return cli_misuse("this cannot be undone: add --yes");
	fprintf(stderr, "This cannot be undone. Type the queue's name to go on: ");
	if (!fgets(typed, sizeof(typed), stdin))
		return cli_fail("nothing was done");
	struct str name = str_from(typed);
	if (str_ends(name, STR("\n")))
		name.n--;
	return str_is(name, queue) ? CLI_OK : cli_fail("that is another name: nothing was done");
}

/* ---- an answer's members ---- */

struct str reply_text(struct reply *reply, uint32_t object, const char *name)
{
	return jdoc_string(&reply->doc, jdoc_get(&reply->doc, object, name), &reply->memory);
}

int64_t reply_number(const struct reply *reply, uint32_t object, const char *name)
{
	int64_t v;
	return jdoc_int(&reply->doc, jdoc_get(&reply->doc, object, name), &v) == 0 ? v : -1;
}

double reply_rate(const struct reply *reply, uint32_t object, const char *name)
{
	double v;
	return jdoc_double(&reply->doc, jdoc_get(&reply->doc, object, name), &v) == 0 ? v : -1;
}

bool reply_flag(const struct reply *reply, uint32_t object, const char *name)
{
	return jdoc_type(&reply->doc, jdoc_get(&reply->doc, object, name)) == J_TRUE;
}
