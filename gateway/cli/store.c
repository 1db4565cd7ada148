#include "gateway/cli/store.h"

#include "lib/pg/pgchild.h"

static int find(struct store *s, const struct config *cfg, struct err *err)
{
	s->kind = settings_store(cfg);
	if (s->kind == STORE_EMBEDDED)
		return pgchild_find_url(cfg->data_dir, &s->url, err);
	if (s->kind == STORE_NONE)
		return err_set(err, ERR_NOT_FOUND, "no records are kept: SLUICE_RECORDS is off, or there is no PostgreSQL (set DATABASE_URL)");
	buf_addz(&s->url, cfg->database_url);
	return 0;
}

int store_open(struct store *s, const struct config *cfg, int64_t deadline_mono_ms, struct err *err)
{
	*s = (struct store){0};
	int rc = find(s, cfg, err);
	if (rc == 0 && s->url.failed)
		rc = err_set(err, ERR_NOMEM, "out of memory");
	if (rc < 0)
		return rc;
	struct pg_options o = settings_pg(cfg, s->url.p);
	o.schema = PG_SCHEMA_IGNORE;
	s->pg = pg_new(&o, err);
	s->link = s->pg ? pglink_new(s->pg, err) : NULL;
	if (!s->link)
		return ERR_INVALID;
	return pglink_open(s->link, deadline_mono_ms, err);
}

void store_release(struct store *s)
{
	pglink_free(s->link);
	pg_free(s->pg);
	if (s->url.p)
		explicit_bzero(s->url.p, s->url.n);
	buf_release(&s->url);
}
