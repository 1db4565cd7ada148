#include "gateway/cli/doctor.h"
#include "gateway/cli/store.h"
#include "lib/base/clock.h"
#include "lib/pg/pgchild.h"

#define DEADLINE_MS 3000

static void say_schema(struct doctor *d, struct pglink *l)
{
	struct err err = {0};
	int pending = pgmigrate_status(l, &PGMIGRATIONS, NULL, NULL, clock_mono_ms() + DEADLINE_MS, &err);
	if (pending < 0)
		doctor_say(d, DOCTOR_FAIL, "no records are kept before that is put right", "%s", err.text);
	else if (pending > 0)
		doctor_say(d, d->cfg->migrate ? DOCTOR_OK : DOCTOR_FAIL, d->cfg->migrate ? NULL : "sluice migrate",
			   "%d migrations of the schema are pending%s", pending, d->cfg->migrate ? "; the gateway applies them when it starts" : "");
	else
		doctor_say(d, DOCTOR_OK, NULL, "the schema is up to date");
}

static void look_at(struct doctor *d, const struct store *s)
{
	struct pg_state state;
	pg_state(s->pg, &state);
	doctor_say(d, DOCTOR_OK, NULL, "%s PostgreSQL %d answers", s->kind == STORE_EMBEDDED ? "the embedded" : "the", state.server_version / 10000);
	say_schema(d, s->link);
}

static void say_none(struct doctor *d)
{
	if (d->cfg->records == CONFIG_SWITCH_OFF)
		doctor_say(d, DOCTOR_OK, NULL, "switched off: finished jobs are known for as long as Redis keeps them");
	else
		doctor_say(d, DOCTOR_WARN, "set DATABASE_URL, or apt-get install postgresql",
			   "there is no PostgreSQL: finished jobs are known for as long as Redis keeps them");
}

void doctor_records(struct doctor *d)
{
	struct store s;
	struct err err = {0};
	int rc = store_open(&s, d->cfg, clock_mono_ms() + DEADLINE_MS, &err);
	if (s.kind == STORE_NONE)
		say_none(d);
	else if (rc == 0)
		look_at(d, &s);
	else if (s.kind == STORE_EMBEDDED && pgchild_is_installed())
		doctor_say(d, DOCTOR_OK, NULL, "embedded; it starts with the gateway");
	else if (s.kind == STORE_EMBEDDED)
		doctor_say(d, DOCTOR_FAIL, "apt-get install postgresql, or set DATABASE_URL", "SLUICE_RECORDS is on and there is no PostgreSQL");
	else
		doctor_say(d, DOCTOR_FAIL, "start PostgreSQL there, or correct DATABASE_URL", "%s", err.text);
	store_release(&s);
}
