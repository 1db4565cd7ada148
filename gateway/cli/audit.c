#include "gateway/cli/cli.h"
#include "gateway/cli/store.h"
#include "lib/audit/verify.h"
#include "lib/base/clock.h"

#define CONNECT_MS 10000

/* "SEQ:HASH", as an earlier look has printed it. */
static bool read_earlier(const char *text, struct audit_head *out)
{
	struct str hash = str_from(text), seq = str_cut(&hash, ':');

	return str_to_i64(seq, &out->seq) == 0 && out->seq > 0 && hash.p && audit_hash_read(hash, out->hash);
}

static enum cli_exit tell(const struct audit_verdict *v)
{
	struct buf out = BUF_INIT;
	char hex[SHA256_HEX_SIZE];

	if (v->broken_seq) {
		(void)cli_fail("row %lld: %s", (long long)v->broken_seq, v->fault);
		return CLI_DAMAGED;
	}
	digest_hex(v->head.hash, sizeof(v->head.hash), hex);
	buf_addf(&out, "%lld rows, the chain holds", (long long)v->rows);
	if (v->rows > 0)
		buf_addf(&out, "; its end is %lld:%s", (long long)v->head.seq, hex);
	return cli_print(&out);
}

static enum cli_exit verify(const struct config *cfg, const struct audit_head *earlier)
{
	struct store store;
	struct err err = {0};
	struct audit_verdict verdict;
	int rc = store_open(&store, cfg, clock_mono_ms() + CONNECT_MS, &err);

	if (rc == 0)
		rc = audit_verify(store.link, str_from(cfg->bullmq_prefix), earlier, &verdict, INT64_MAX, &err);
	store_release(&store);
	return rc < 0 ? cli_fail("%s", err.text) : tell(&verdict);
}

enum cli_exit cmd_audit(const struct cli *cli, int argc, char **argv)
{
	const char *since = NULL;
	bool help = false;
	const struct option_row rows[] = {
		{"since", OPTION_STRING, &since, "SEQ:HASH", "what an earlier look said is the end: it must be part of the chain still"},
		{"help", OPTION_FLAG, &help, NULL, "show this text"},
		{0},
	};
	static const char *const words[] = {"verify", NULL};
	const struct options o = {.usage = "sluice audit verify [--since SEQ:HASH]",
				  .about = "Read the audit trail from its first row to its last and check that each follows from the one before. The first row that was "
					   "changed, removed or put in is named, and the exit code is 3.",
				  .rows = rows,
				  .max_arguments = 1,
				  .arguments = words};
	struct audit_head earlier = {0};
	struct config cfg;
	int arguments;
	enum cli_exit exit;
	if (!cli_options(cli, &o, &help, argc, argv, &arguments, &exit))
		return exit;
	if (arguments != 1 || strcmp(argv[1], "verify") != 0 || (since && !read_earlier(since, &earlier)))
		return cli_misuse("usage: %s", o.usage);
	exit = cli_config(cli, NULL, &cfg);
	if (exit == CLI_OK)
		exit = verify(&cfg, since ? &earlier : NULL);
	config_release(&cfg);
	return exit;
}
