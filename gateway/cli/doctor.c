#include "gateway/cli/doctor.h"

#include <stdarg.h>
#include <stdio.h>

#include "gateway/cli/cli.h"
#include "lib/json/jwrite.h"

static const struct {
	const char *name;
	void (*look)(struct doctor *d);
} checks[] = {
	{"queues", doctor_queues},       {"keys", doctor_keys},   {"redis", doctor_redis},
	{"records", doctor_records}, {"documents", doctor_documents}, {"tools", doctor_tools}, {"sandbox", doctor_sandbox},
	{"rules", doctor_rules},
	{"descriptors", doctor_descriptors}, {"clock", doctor_clock}, {"gateway", doctor_gateway},
};

static const char *const level_words[] = {[DOCTOR_OK] = "ok", [DOCTOR_WARN] = "warn", [DOCTOR_FAIL] = "fail"};

void doctor_say(struct doctor *d, enum doctor_level level, const char *advice, const char *fmt, ...)
{
	if (d->n == DOCTOR_MAX_FINDINGS)
		return;
	struct doctor_finding *f = &d->findings[d->n++];
	va_list args;
	*f = (struct doctor_finding){.check = d->checking, .level = level, .advice = advice};
	va_start(args, fmt);
	vsnprintf(f->text, sizeof(f->text), fmt, args);
	va_end(args);
}

static enum cli_exit print_text(const struct doctor *d)
{
	struct buf out = BUF_INIT;
	for (size_t i = 0; i < d->n; i++) {
		const struct doctor_finding *f = &d->findings[i];
		buf_addf(&out, "%-4s  %-11s  %s\n", level_words[f->level], f->check, f->text);
		if (f->advice)
			buf_addf(&out, "                   -> %s\n", f->advice);
	}
	return cli_print(&out);
}

static enum cli_exit print_json(const struct doctor *d)
{
	struct buf out = BUF_INIT;
	struct jwrite w = jwrite_into(&out);
	jw_open(&w, '[');
	for (size_t i = 0; i < d->n; i++) {
		const struct doctor_finding *f = &d->findings[i];
		jw_open(&w, '{');
		jw_kstrz(&w, "check", f->check);
		jw_kstrz(&w, "level", level_words[f->level]);
		jw_kstrz(&w, "text", f->text);
		jw_kstrz(&w, "advice", f->advice);
		jw_close(&w, '}');
	}
	jw_close(&w, ']');
	return cli_print(&out);
}

static bool any_failed(const struct doctor *d)
{
	for (size_t i = 0; i < d->n; i++)
		if (d->findings[i].level == DOCTOR_FAIL)
			return true;
	return false;
}

struct wish {
	bool json, queues, fix;
};

static enum cli_exit run(const struct config *cfg, void *arg)
{
	const struct wish *wish = arg;
	if (wish->queues)
		return doctor_look_through_queues(cfg, wish->fix, wish->json);
	if (wish->fix)
		return cli_fail("--fix goes with --queues");
	struct doctor d = {.cfg = cfg};
	for (size_t i = 0; i < ARRAY_LEN(checks); i++) {
		d.checking = checks[i].name;
		checks[i].look(&d);
	}
	enum cli_exit exit = (wish->json ? print_json : print_text)(&d);
	return exit == CLI_OK && any_failed(&d) ? CLI_FAILED : exit;
}

enum cli_exit cmd_doctor(const struct cli *cli, int argc, char **argv)
{
	struct wish wish = {0};
	bool help = false;
	const struct option_row rows[] = {
		{"json", OPTION_FLAG, &wish.json, NULL, "print [{check, level, text, advice}]"},
		{"queues", OPTION_FLAG, &wish.queues, NULL, "look through every queue and job in Redis instead, in small steps"},
		{"fix", OPTION_FLAG, &wish.fix, NULL, "with --queues: mend what is wrong there; no job is thrown away"},
		{"help", OPTION_FLAG, &help, NULL, "show this text"},
		{0},
	};
	const struct options o = {.usage = "sluice doctor [--json] [--queues [--fix]]",
				  .about = "Check what the gateway needs under the present settings, and say what to do. The exit code is 1 when "
					   "something fails. Nothing is changed without --fix.",
				  .rows = rows};
	return cli_with_settings(cli, &o, &help, argc, argv, run, &wish);
}
