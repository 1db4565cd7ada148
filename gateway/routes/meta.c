/* The routes about the process itself: health, metrics, the API's description, the meaning of its errors. */
#include "gateway/http/server.h"
#include "gateway/openapi/page.h"
#include "gateway/routes/handlers.h"
#include "gateway/routes/health.h"
#include "gateway/services.h"
#include "lib/metrics/metrics.h"

void meta_live(struct request *r, struct response *res)
{
	(void)r;
	struct jwrite w = response_json(res, 200);
	jw_open(&w, '{');
	jw_kstrz(&w, "status", "ok");
	jw_close(&w, '}');
}

/* Runs every check and writes it as {name, ok, detail}; the failures also go to `missing` as one sentence. */
static void run_checks(const struct health *h, struct jwrite *w, struct buf *missing)
{
	for (unsigned i = 0; h && i < h->count; i++) {
		struct err err = {0};
		bool ok = h->checks[i].fn(h->checks[i].arg, &err) == 0;
		jw_open(w, '{');
		jw_kstrz(w, "name", h->checks[i].name);
		jw_kbool(w, "ok", ok);
		jw_kstrz(w, "detail", err.text[0] ? err.text : NULL);
		jw_close(w, '}');
		if (!ok && h->checks[i].needed)
			buf_addf(missing, "%s%s: %s", missing->n ? "; " : "", h->checks[i].name, err.text);
	}
}

void meta_ready(struct request *r, struct response *res)
{
	struct buf checks = BUF_INIT, missing = BUF_INIT;
	bool verbose = request_query(r, "verbose").p != NULL;
	struct jwrite c = jwrite_into(&checks);
	jw_open(&c, '[');
	run_checks(r->deps->health, &c, &missing);
	jw_close(&c, ']');
	if (request_draining(r)) {
		response_problem(r, res, PROBLEM_DRAINING, NULL);
	} else if (missing.n && verbose) {
		response_problem_with(r, res, PROBLEM_NOT_READY, missing.p, "checks", buf_str(&checks));
	} else if (missing.n) {
		response_problem(r, res, PROBLEM_NOT_READY, "%s", missing.p);
	} else {
		struct jwrite w = response_json(res, 200);
		jw_open(&w, '{');
		jw_kstrz(&w, "status", "ok");
		if (verbose)
			jw_kraw(&w, "checks", buf_str(&checks));
		jw_close(&w, '}');
	}
	buf_release(&checks);
	buf_release(&missing);
}

void meta_metrics(struct request *r, struct response *res)
{
	server_observe(r);
	if (r->deps->observe)
		r->deps->observe(r->app);
	metrics_write(r->deps->metrics, &res->body);
	res->content_type = "text/plain; version=0.0.4; charset=utf-8";
}

void meta_openapi(struct request *r, struct response *res)
{
	struct str text = api_page_copy(app_services(r->app)->openapi, r->arena);
	if (!text.p)
		response_problem(r, res, PROBLEM_INTERNAL, "out of memory");
	else if (!response_etag(r, res, text))
		buf_adds(&res->body, text);
}

static void add_html(struct buf *b, const char *text)
{
	bool code = false;
	for (; *text; text++) {
		switch (*text) {
		case '<':
			buf_addz(b, "&lt;");
			break;
		case '&':
			buf_addz(b, "&amp;");
			break;
		case '`':
			buf_addz(b, code ? "</code>" : "<code>");
			code = !code;
			break;
		default:
			buf_addc(b, *text);
		}
	}
}

static void write_page(const struct problem_row *row, struct response *res)
{
	struct buf *b = &res->body;
	buf_addz(b, "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>");
	add_html(b, row->title);
	buf_addz(b, "</title><h1>");
	add_html(b, row->title);
	buf_addf(b, "</h1><p>HTTP status %d, code <code>%s</code></p><p>", row->status, row->slug);
	add_html(b, row->text);
	buf_addz(b, "</p></html>\n");
	res->content_type = "text/html; charset=utf-8";
}

static void write_description(const struct problem_row *row, struct response *res)
{
	char type[96];
	snprintf(type, sizeof(type), "/problems/%s", row->slug);
	struct jwrite w = response_json(res, 200);
	jw_open(&w, '{');
	jw_kstrz(&w, "type", type);
	jw_kstrz(&w, "code", row->slug);
	jw_kstrz(&w, "title", row->title);
	jw_kint(&w, "status", row->status);
	jw_kstrz(&w, "text", row->text);
	jw_close(&w, '}');
}

void meta_problem(struct request *r, struct response *res)
{
	const struct problem_row *row = problem_by_slug(r->params[0]);
	struct str accept = request_header(r, "Accept");
	if (!row) {
		response_problem(r, res, PROBLEM_NOT_FOUND, "There is no problem of this name.");
		return;
	}
	response_header(res, "Vary", STR("Accept"));
	response_header(res, "Cache-Control", STR("public, max-age=3600"));
	if (accept.p && memmem(accept.p, accept.n, "text/html", 9))
		write_page(row, res);
	else
		write_description(row, res);
}
