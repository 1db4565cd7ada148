#include "gateway/cli/cli.h"
#include "gateway/cli/store.h"
#include "lib/base/clock.h"

#define CONNECT_MS 10000
#define LOOK_MS 10000

struct report {
	struct buf out;
	bool applied; /* tell of those that are */
};

static void write_row(void *arg, const struct pgmigrate_row *row)
{
	struct report *r = arg;
	if (row->state == PGMIGRATE_PENDING)
		buf_addf(&r->out, "%04d  %-24s  pending\n", row->version, row->name);
	else if (r->applied)
		buf_addf(&r->out, "%04d  %-24s  applied %s\n", row->version, row->name, row->applied_at);
}

struct wish {
	bool dry, status;
};

static enum cli_exit run(const struct config *cfg, void *arg)
{
	const struct wish *wish = arg;
	bool look_only = wish->dry || wish->status;
	struct store store;
	struct err err = {0};
	struct report report = {.applied = !wish->dry || wish->status};
	int rc = store_open(&store, cfg, clock_mono_ms() + CONNECT_MS, &err);
	if (rc == 0 && look_only)
		rc = pgmigrate_status(store.link, &PGMIGRATIONS, write_row, &report, clock_mono_ms() + LOOK_MS, &err);
	else if (rc == 0)
		rc = pgmigrate_apply(store.link, &PGMIGRATIONS, write_row, &report, INT64_MAX, &err);
	store_release(&store);
	if (rc == 0 && !report.out.n)
		buf_addz(&report.out, "the schema is up to date\n");
	if (report.out.n)
		(void)cli_print(&report.out); /* also what was done before a failure */
	buf_release(&report.out);
	return rc < 0 ? cli_fail("%s", err.text) : CLI_OK;
}

enum cli_exit cmd_migrate(const struct cli *cli, int argc, char **argv)
{
	struct wish wish = {0};
	bool help = false;
	const struct option_row rows[] = {
		{"dry-run", OPTION_FLAG, &wish.dry, NULL, "print what is pending, and change nothing"},
		{"status", OPTION_FLAG, &wish.status, NULL, "print every migration and when it was applied, and change nothing"},
		{"help", OPTION_FLAG, &help, NULL, "show this text"},
		{0},
	};
	const struct options o = {.usage = "sluice migrate [--dry-run | --status]",
				  .about = "Bring the schema of DATABASE_URL, or of the embedded PostgreSQL while the gateway runs, up to date. The gateway does "
					   "this itself at its start unless SLUICE_MIGRATE is 0.",
				  .rows = rows};
	return cli_with_settings(cli, &o, &help, argc, argv, run, &wish);
}
