/* What a gateway that runs under these settings says of itself. */
#include "gateway/cli/doctor.h"
#include "gateway/cli/printable.h"
#include "lib/base/clock.h"
#include "lib/fetch/fetch.h"
#include "lib/json/jdoc.h"

#define ANSWER_MS 3000

static const char *const local[] = {"0.0.0.0/0", "[::]/0"}; /* its own user names it */

static void add_url(struct buf *url, const struct config *cfg)
{
	const char *host = strcmp(cfg->host, "0.0.0.0") == 0 ? "127.0.0.1" : cfg->host;
	if (*cfg->client_url)
		buf_addz(url, cfg->client_url);
	else
		buf_addf(url, "http://%s:%lld", host, (long long)cfg->port);
	while (url->n && url->p[url->n - 1] == '/')
		url->p[--url->n] = '\0';
}

static int ask(const struct config *cfg, struct str base, struct fetch_response *rs, struct err *err)
{
	const struct fetcher_options options = {.allow = local, .n_allow = ARRAY_LEN(local), .ca_file = cfg->fetch_ca_file};
	struct fetcher *f = fetcher_new(&options, err);
	struct buf url = BUF_INIT;
	if (!f)
		return ERR_NOMEM;
	buf_adds(&url, base);
	buf_addz(&url, "/readyz?verbose");
	struct fetch_request rq = {.method = "GET", .url = buf_str(&url), .deadline_mono_ms = clock_mono_ms() + ANSWER_MS, .cancel_fd = -1};
	int rc = fetch(f, &rq, rs, err);
	buf_release(&url);
	fetcher_free(f);
	return rc;
}

/* What it says of one of its parts; false: nothing is wrong. */
static bool tell_check(struct doctor *d, const struct jdoc *doc, uint32_t check, struct arena *a)
{
	struct str name = jdoc_string(doc, jdoc_get(doc, check, "name"), a), detail = jdoc_string(doc, jdoc_get(doc, check, "detail"), a);
	bool waits = str_is(name, "reload");
	struct buf shown = BUF_INIT;
	if (!name.p || jdoc_type(doc, jdoc_get(doc, check, "ok")) == J_TRUE)
		return false;
	printable_add(&shown, name);
	buf_addz(&shown, ": ");
	printable_add(&shown, detail.p ? detail : STR("something is wrong"));
	doctor_say(d, DOCTOR_WARN, waits ? "correct the file and send SIGHUP, or restart the gateway, which loses no job" : NULL,
		   "the running gateway says: %s", shown.p);
	buf_release(&shown);
	return true;
}

static void tell_answer(struct doctor *d, struct str base, struct str text)
{
	struct arena a;
	struct jdoc doc;
	bool any = false;
	arena_init(&a, 0);
	int rc = jdoc_parse(&doc, &a, text, &JDOC_LIMITS, NULL);
	uint32_t checks = rc == 0 ? jdoc_get(&doc, JDOC_ROOT, "checks") : JDOC_NONE;
	if (checks == JDOC_NONE) {
		doctor_say(d, DOCTOR_WARN, "set HOST and PORT, or SLUICE_URL", "what answers at %.*s is no gateway", STR_ARG(base));
	} else {
		for (uint32_t c = jdoc_first(&doc, checks); c != JDOC_NONE; c = jdoc_next(&doc, checks, c))
			any = tell_check(d, &doc, c, &a) || any;
		if (!any)
			doctor_say(d, DOCTOR_OK, NULL, "the gateway at %.*s has nothing to complain of", STR_ARG(base));
	}
	arena_release(&a);
}

void doctor_gateway(struct doctor *d)
{
	struct buf base = BUF_INIT;
	struct fetch_response rs = {0};
	struct err err = {0};
	add_url(&base, d->cfg);
	if (ask(d->cfg, buf_str(&base), &rs, &err) < 0)
		doctor_say(d, DOCTOR_OK, NULL, "no gateway answers at %s", base.p);
	else
		tell_answer(d, buf_str(&base), buf_str(&rs.body));
	fetch_response_release(&rs);
	buf_release(&base);
}
