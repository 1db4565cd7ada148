#include <civetweb.h>
#include <curl/curl.h>
#include <hiredis/hiredis.h>
#include <hs/hs.h>
#include <jansson.h>
#include <libpq-fe.h>
#include <openssl/crypto.h>
#include <stdio.h>

#include "gateway/cli/cli.h"
#include "gateway/version.h"
#include "lib/json/jwrite.h"
#include "revision.h"

#define BULLMQ_SCRIPTS "6.7.0"
#define TO_TEXT_(x) #x
#define TO_TEXT(x) TO_TEXT_(x)

static const char bullmq_licence[] =
#include "bullmq_licence.h"
	;
/* Empty in a build without the web page. */
static const char preact_licence[] =
#include "preact_licence.h"
	;

static const char *curl_runs(void)
{
	return curl_version_info(CURLVERSION_NOW)->version;
}

/* "15.7" of 150007. */
static const char *libpq_runs(void)
{
	static char text[24]; /* one thread: the command line's */
	int v = PQlibVersion();
	snprintf(text, sizeof(text), "%d.%d", v / 10000, v % 10000);
	return text;
}

static const char *openssl_runs(void)
{
	return OpenSSL_version(OPENSSL_VERSION_STRING);
}

/* What is part of the program or linked to it. */
static const struct component {
	const char *name;
	const char *built; /* version at build time; NULL: `runs` tells */
	const char *(*runs)(void);
	const char *licence;
	const char *where; /* its licence's text on Debian, or NULL when it is printed here */
} components[] = {
	{"BullMQ Lua scripts (embedded)", BULLMQ_SCRIPTS, NULL, "MIT", NULL},
	{"civetweb", NULL, mg_version, "MIT", "libcivetweb1"},
	{"hiredis", TO_TEXT(HIREDIS_MAJOR) "." TO_TEXT(HIREDIS_MINOR) "." TO_TEXT(HIREDIS_PATCH), NULL, "BSD-3-Clause", "libhiredis0.14"},
	{"libjwt", "1.10.2", NULL, "MPL-2.0", "libjwt0"},
	{"jansson", NULL, jansson_version_str, "MIT", "libjansson4"},
	{"OpenSSL", NULL, openssl_runs, "Apache-2.0", "libssl3"},
	{"libcurl", NULL, curl_runs, "curl", "libcurl4"},
	{"libpq", NULL, libpq_runs, "PostgreSQL", "libpq5"},
	{"vectorscan", NULL, hs_version, "BSD-3-Clause", "libvectorscan5"},
};

static const char *version_of(const struct component *c)
{
	return c->built ? c->built : c->runs();
}

static void write_text(struct buf *out)
{
	buf_addz(out, "sluice " SLUICE_VERSION " (" SLUICE_REVISION ")\n");
	for (size_t i = 0; i < ARRAY_LEN(components); i++)
		buf_addf(out, "  %-30s %s\n", components[i].name, version_of(&components[i]));
}

static void write_json(struct buf *out)
{
	struct jwrite w = jwrite_into(out);
	jw_open(&w, '{');
	jw_kstrz(&w, "version", SLUICE_VERSION);
	jw_kstrz(&w, "revision", SLUICE_REVISION);
	jw_kstrz(&w, "compiler", __VERSION__);
	jw_key(&w, "components");
	jw_open(&w, '{');
	for (size_t i = 0; i < ARRAY_LEN(components); i++)
		jw_kstrz(&w, components[i].name, version_of(&components[i]));
	jw_close(&w, '}');
	jw_close(&w, '}');
}

static void write_licences(struct buf *out)
{
	buf_addz(out, "sluice " SLUICE_VERSION " is under the MIT licence, Copyright (c) 2026 Sluice contributors.\n\n");
	for (size_t i = 0; i < ARRAY_LEN(components); i++) {
		const struct component *c = &components[i];
		buf_addf(out, "%s %s: %s", c->name, version_of(c), c->licence);
		if (c->where)
			buf_addf(out, ", /usr/share/doc/%s/copyright", c->where);
		buf_addz(out, c->where ? "\n" : ", see below\n");
	}
	buf_addz(out, "\n---- BullMQ Lua scripts ----\n\n");
	buf_addz(out, bullmq_licence);
	if (*preact_licence)
		buf_addf(out, "\n---- Preact, in the web page ----\n\n%s", preact_licence);
}

enum cli_exit cmd_version(const struct cli *cli, int argc, char **argv)
{
	bool licences = false, json = false, help = false;
	const struct option_row rows[] = {
		{"licenses", OPTION_FLAG, &licences, NULL, "print the licences of everything that is part of the program"},
		{"json", OPTION_FLAG, &json, NULL, "print versions as JSON"},
		{"help", OPTION_FLAG, &help, NULL, "show this text"},
		{0},
	};
	const struct options o = {.usage = "sluice version [--licenses|--json]", .about = "Print the versions of the program and its libraries.", .rows = rows};
	int arguments;
	enum cli_exit exit;
	if (!cli_options(cli, &o, &help, argc, argv, &arguments, &exit))
		return exit;
	struct buf out = BUF_INIT;
	(licences ? write_licences : json ? write_json : write_text)(&out);
	return cli_print(&out);
}
