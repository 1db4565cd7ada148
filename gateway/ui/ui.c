#include "gateway/ui/ui.h"

#include <stdlib.h>

#include "gateway/ui/assets.h"

/* Nothing but the page's own files, no markup made from text, nobody's frame. */
#define POLICY \
	"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; " \
	"form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

static const char NO_UI[] =
	"<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Sluice</title><h1>Sluice</h1>"
	"<p>This program was built without its web page (<code>WITH_UI=0</code>). The API is described at "
	"<a href=\"/openapi.json\">/openapi.json</a>.</p></html>\n";

static const struct {
	const char *word; /* as Accept-Encoding and Content-Encoding say it */
	const char *mark; /* makes the tag another one */
} codings[UI_CODINGS] = {[UI_BROTLI] = {"br", "b"}, [UI_GZIP] = {"gzip", "g"}, [UI_IDENTITY] = {"identity", "i"}};

/* ---- which coding ------------------------------------------------------------------------------------------------------ */

/* "gzip;q=0.5": is it the coding, and wanted at all? */
static bool wants(struct str one, const char *word)
{
	struct str name = str_trim(str_cut(&one, ';'));
	struct str weight = str_trim(one);
	if (!str_ieq(name, str_from(word)))
		return false;
	return !(weight.n > 2 && str_ieq(str_sub(weight, 0, 2), STR("q=")) && strtod(weight.p + 2, NULL) <= 0);
}

/* The smallest that the client takes; identity when it names none that we have (RFC 9110 12.5.3). */
static enum ui_coding choose(const struct request *r)
{
	for (unsigned c = 0; c < UI_IDENTITY; c++) {
		struct str rest = request_header(r, "Accept-Encoding");
		while (rest.p)
			if (wants(str_trim(str_cut(&rest, ',')), codings[c].word))
				return (enum ui_coding)c;
	}
	return UI_IDENTITY;
}

/* ---- answers ------------------------------------------------------------------------------------------------------------- */

static void add_file(const struct ui_asset *a, enum ui_coding c, struct response *res)
{
	res->content_type = a->type;
	if (c != UI_IDENTITY)
		response_header(res, "Content-Encoding", str_from(codings[c].word));
	buf_add(&res->body, a->coded[c].from, (size_t)(a->coded[c].to - a->coded[c].from));
}

static void add_page_headers(struct response *res)
{
	response_header(res, "Content-Security-Policy", STR(POLICY));
	response_header(res, "Cross-Origin-Opener-Policy", STR("same-origin"));
	response_header(res, "Cross-Origin-Resource-Policy", STR("same-origin"));
	response_header(res, "Permissions-Policy", STR("camera=(), geolocation=(), microphone=(), payment=(), usb=()"));
}

static const struct ui_asset *find(struct str path)
{
	for (const struct ui_asset *a = UI_ASSETS; a->path; a++)
		if (str_is(path, a->path))
			return a;
	return NULL;
}

void ui_page(struct request *r, struct response *res)
{
	const struct ui_asset *page = find(STR("/"));
	enum ui_coding c = choose(r);
	add_page_headers(res);
	response_header(res, "Vary", STR("Accept-Encoding"));
	if (!page) {
		res->content_type = "text/html; charset=utf-8";
		buf_addz(&res->body, NO_UI);
		return;
	}
	char *tag = arena_printf(r->arena, "%s%s", page->tag, codings[c].mark);
	if (!tag || !response_etag_exact(r, res, str_from(tag)))
		add_file(page, c, res);
}

static bool is_page_path(struct str path)
{
	struct str rest = str_sub(path, 1, path.n - 1);
	struct str first = str_cut(&rest, '/');
	for (const char *const *p = UI_PATHS; *p; p++)
		if (str_is(first, *p))
			return **p || !rest.p;
	return false;
}

bool ui_serve(struct request *r, struct response *res)
{
	if (is_page_path(r->path)) {
		ui_page(r, res);
		return true;
	}
	const struct ui_asset *file = find(r->path);
	if (!file)
		return false;
	response_header(res, "Vary", STR("Accept-Encoding"));
	response_header(res, "Cache-Control", STR("public, max-age=31536000, immutable"));
	response_header(res, "Cross-Origin-Resource-Policy", STR("same-origin"));
	add_file(file, choose(r), res);
	return true;
}
