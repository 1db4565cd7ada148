#include "gateway/cli/cli.h"
#include "gateway/declared.h"
#include "gateway/http/problem.h"
#include "gateway/http/route.h"
#include "gateway/openapi/openapi.h"
#include "gateway/version.h"
#include "lib/auth/auth.h"
#include "lib/metrics/metrics.h"

typedef int declared_fn(const struct declarations *d, struct buf *out, struct err *err);

/* A table of the program; or what depends on the settings, or on the declared queues too. */
struct document {
	const char *name;
	void (*table)(struct buf *out);
	void (*settings)(const struct config *cfg, struct buf *out);
	declared_fn *declared;
};

static int with_declarations(const struct config *cfg, declared_fn *print, struct buf *out, struct err *err)
{
	struct declarations d;
	int rc = declared_load(&d, cfg, err);
	if (rc == 0) {
		rc = print(&d, out, err);
		declarations_release(&d);
	}
	return rc;
}

static int with_settings(const struct cli *cli, const struct document *doc, struct buf *out, struct err *err)
{
	struct config cfg;
	int rc = cli_config(cli, NULL, &cfg) == CLI_OK ? 0 : err_set(err, ERR_INVALID, "nothing is printed");
	if (rc == 0 && doc->settings)
		doc->settings(&cfg, out);
	else if (rc == 0)
		rc = with_declarations(&cfg, doc->declared, out, err);
	config_release(&cfg);
	return rc;
}

static int write_openapi(const struct declarations *d, struct buf *out, struct err *err)
{
	struct schemas *s = declared_schemas(d, err);
	if (!s)
		return ERR_INVALID;
	int rc = openapi_write(&ROUTES, s, SLUICE_VERSION, out, err);
	schemas_free(s);
	return rc;
}

/* The members of bq_opts_write's object, beside the declaration's own. */
static int write_defaults(struct jwrite *w, const struct bq_opts *opts, struct err *err)
{
	struct buf text = BUF_INIT;
	struct arena a;
	struct jdoc doc;
	struct jdoc_fault fault;
	struct jwrite inner = jwrite_into(&text);
	bq_opts_write(&inner, opts);
	arena_init(&a, 0);
	int rc = text.failed ? ERR_NOMEM : jdoc_parse(&doc, &a, buf_str(&text), &JDOC_LIMITS, &fault);
	if (rc == 0)
		for (uint32_t c = jdoc_first(&doc, JDOC_ROOT); c != JDOC_NONE; c = jdoc_next(&doc, JDOC_ROOT, c)) {
			jw_keys(w, jdoc_key(&doc, c, &a));
			jw_raw(w, jdoc_raw(&doc, c));
		}
	arena_release(&a);
	buf_release(&text);
	return rc < 0 ? err_set(err, rc, "%s", err_sentence(rc)) : 0;
}

static int write_queue(struct jwrite *w, const struct declaration *d, struct err *err)
{
	const struct queue_terms *t = d->terms;
	jw_open(w, '{');
	jw_kstr(w, "name", d->name);
	jw_kstr(w, "jobName", t->job_name);
	jw_kstr(w, "processor", d->processor_name);
	jw_kint(w, "concurrency", t->concurrency);
	int rc = write_defaults(w, &t->defaults, err);
	jw_kint(w, "lockDuration", t->lock_ms);
	jw_kint(w, "stalledInterval", t->stalled_interval_ms);
	jw_kint(w, "maxStalledCount", t->max_stalled);
	if (t->limiter.max > 0) {
		jw_key(w, "limiter");
		jw_open(w, '{');
		jw_kint(w, "max", t->limiter.max);
		jw_kint(w, "duration", t->limiter.duration_ms);
		jw_close(w, '}');
	}
	jw_kint(w, "timeout", t->timeout_ms);
	if (t->max_waiting > 0)
		jw_kint(w, "maxWaiting", t->max_waiting);
	if (t->payload)
		jw_kraw(w, "payload", schema_text(t->payload));
	jw_close(w, '}');
	return rc;
}

/* In the form of the file that SLUICE_QUEUES names. */
static int write_queues(const struct declarations *d, struct buf *out, struct err *err)
{
	struct jwrite w = jwrite_into(out);
	int rc = 0;
	jw_open(&w, '{');
	jw_key(&w, "queues");
	jw_open(&w, '[');
	for (size_t i = 0; rc == 0 && i < d->count; i++)
		rc = write_queue(&w, d->items[i], err);
	jw_close(&w, ']');
	jw_close(&w, '}');
	return rc;
}

static const struct document documents[] = {
	{.name = "openapi", .declared = write_openapi}, {.name = "config", .table = config_dump},
	{.name = "settings", .settings = config_show},  {.name = "roles", .table = role_dump},
	{.name = "errors", .table = problem_dump},      {.name = "metrics", .table = metrics_dump},
	{.name = "queues", .declared = write_queues},
};

static enum cli_exit dump(const struct cli *cli, const struct document *d)
{
	struct buf out = BUF_INIT;
	struct err err = {0};
	if (d->table)
		d->table(&out);
	else if (with_settings(cli, d, &out, &err) < 0) {
		buf_release(&out);
		return cli_fail("%s", err.text);
	}
	return cli_print(&out);
}

enum cli_exit cmd_dump(const struct cli *cli, int argc, char **argv)
{
	bool help = false;
	const struct option_row rows[] = {{"help", OPTION_FLAG, &help, NULL, "show this text"}, {0}};
	const char *words[ARRAY_LEN(documents) + 1] = {NULL};
	for (size_t i = 0; i < ARRAY_LEN(documents); i++)
		words[i] = documents[i].name;
	const struct options o = {.usage = "sluice dump openapi|config|settings|roles|errors|metrics|queues",
				  .about = "Print a document of the program as JSON; config is every setting there is, settings is what they are now and by what.",
				  .rows = rows,
				  .max_arguments = 1,
				  .arguments = words};
	int arguments;
	enum cli_exit exit;
	if (!cli_options(cli, &o, &help, argc, argv, &arguments, &exit))
		return exit;
	for (size_t i = 0; arguments == 1 && i < ARRAY_LEN(documents); i++)
		if (strcmp(argv[1], documents[i].name) == 0)
			return dump(cli, &documents[i]);
	return cli_misuse("which document? %s", o.usage);
}
