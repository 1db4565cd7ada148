/* The table and the values, printed. */
#include "lib/config/rows.h"
#include "lib/json/jwrite.h"

#define NAME_COLUMN 30

static const char *const origin_names[] = {
	[CONFIG_FROM_DEFAULT] = "default",
	[CONFIG_FROM_FILE] = ".env",
	[CONFIG_FROM_ENVIRONMENT] = "environment",
	[CONFIG_FROM_COMMAND_LINE] = "command line",
};

void config_help(struct buf *out)
{
	const char *group = "";
	for (const struct config_row *r = config_rows; r < config_rows + CONFIG_KEYS; r++) {
		if (strcmp(group, r->group) != 0)
			buf_addf(out, "%s%s:\n", group[0] ? "\n" : "", r->group);
		group = r->group;
		buf_addf(out, "  %-*s %s\n", NAME_COLUMN, r->name, r->help);
		buf_addf(out, "  %-*s %s%s; ", NAME_COLUMN, "", r->preset[0] ? "default " : "no default", r->preset);
		config_allowed(r, out);
		buf_addz(out, r->type == CONFIG_SECRET ? "; or name a file in " : "\n");
		if (r->type == CONFIG_SECRET)
			buf_addf(out, "%s_FILE\n", r->name);
	}
}

void config_dump(struct buf *out)
{
	struct buf allowed = BUF_INIT;
	struct jwrite w = jwrite_into(out);
	jw_open(&w, '[');
	for (const struct config_row *r = config_rows; r < config_rows + CONFIG_KEYS; r++) {
		buf_clear(&allowed);
		config_allowed(r, &allowed);
		jw_open(&w, '{');
		jw_kstrz(&w, "name", r->name);
		jw_kstrz(&w, "type", config_type_name(r->type));
		jw_kstrz(&w, "default", r->preset);
		jw_kstr(&w, "allowed", buf_str(&allowed));
		jw_kbool(&w, "secret", r->type == CONFIG_SECRET);
		jw_kbool(&w, "deploy", r->deploy);
		jw_kstrz(&w, "group", r->group);
		jw_kstrz(&w, "help", r->help);
		jw_close(&w, '}');
	}
	jw_close(&w, ']');
	out->failed |= allowed.failed;
	buf_release(&allowed);
}

static void show_string(struct jwrite *w, const struct config_row *row, const void *at)
{
	(void)row;
	jw_strz(w, *(const char *const *)at);
}

static void show_secret(struct jwrite *w, const struct config_row *row, const void *at)
{
	(void)row;
	jw_strz(w, (*(const char *const *)at)[0] ? "***" : NULL);
}

static void show_number(struct jwrite *w, const struct config_row *row, const void *at)
{
	(void)row;
	jw_int(w, *(const int64_t *)at);
}

static void show_bool(struct jwrite *w, const struct config_row *row, const void *at)
{
	(void)row;
	jw_bool(w, *(const bool *)at);
}

static void show_enum(struct jwrite *w, const struct config_row *row, const void *at)
{
	struct str words = str_from(row->words);
	for (int i = *(const int *)at; i > 0; i--)
		(void)str_cut(&words, '|');
	jw_str(w, str_cut(&words, '|'));
}

static void show_json(struct jwrite *w, const struct config_row *row, const void *at)
{
	(void)row;
	jw_raw(w, str_from(*(const char *const *)at));
}

static void show_list(struct jwrite *w, const struct config_row *row, const void *at)
{
	(void)row;
	const struct config_list *list = at;
	jw_open(w, '[');
	for (size_t i = 0; i < list->n; i++)
		jw_strz(w, list->items[i]);
	jw_close(w, ']');
}

static void (*const show[])(struct jwrite *w, const struct config_row *row, const void *at) = {
	[CONFIG_STRING] = show_string, [CONFIG_SECRET] = show_secret,	[CONFIG_INT] = show_number,   [CONFIG_BOOL] = show_bool,
	[CONFIG_ENUM] = show_enum,     [CONFIG_DURATION] = show_number, [CONFIG_BYTES] = show_number, [CONFIG_JSON] = show_json,
	[CONFIG_LIST] = show_list,     [CONFIG_RATE] = show_number,
};

void config_show(const struct config *cfg, struct buf *out)
{
	struct jwrite w = jwrite_into(out);
	jw_open(&w, '[');
	for (size_t i = 0; i < CONFIG_KEYS; i++) {
		const struct config_row *r = &config_rows[i];
		jw_open(&w, '{');
		jw_kstrz(&w, "name", r->name);
		jw_key(&w, "value");
		show[r->type](&w, r, (const char *)cfg + r->offset);
		jw_kstrz(&w, "origin", origin_names[cfg->origin[i]]);
		jw_close(&w, '}');
	}
	jw_close(&w, ']');
}
