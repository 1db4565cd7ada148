# The migrations, as a C table.
PG_MIGRATIONS := $(GEN)/pg_migrations.c
GENERATED     += $(PG_MIGRATIONS)
LIB_SRC       += $(PG_MIGRATIONS)

$(PG_MIGRATIONS): lib/pg/gen-migrations.sh $(wildcard lib/pg/migrations/*.sql)
	@mkdir -p $(GEN)
	$(call say,GEN $@)
	$(Q)lib/pg/gen-migrations.sh lib/pg/migrations >$@.tmp && mv $@.tmp $@
