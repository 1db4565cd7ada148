/* One parser and one description per type of value. */
#include <jansson.h>

#include "lib/base/err.h"
#include "lib/config/rows.h"

typedef int parse_fn(const struct config_row *row, struct str text, void *into, struct arena *memory);

struct unit {
	const char *name;
	int64_t size;
};

/* Smallest first. */
static const struct unit durations[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
static const struct unit sizes[] = {{"", 1}, {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", (int64_t)1 << 40}};

static int in_range(const struct config_row *row, int64_t v, void *into)
{
	if (v < row->min || v > row->max)
		return ERR_INVALID;
	*(int64_t *)into = v;
	return 0;
}

static int copy(struct str text, void *into, struct arena *memory)
{
	const char *z = arena_dupz(memory, text);
	if (!z)
		return ERR_NOMEM;
	*(const char **)into = z;
	return 0;
}

static int parse_string(const struct config_row *row, struct str text, void *into, struct arena *memory)
{
	(void)row;
	for (size_t i = 0; i < text.n; i++)
		if ((unsigned char)text.p[i] < ' ' || text.p[i] == 0x7f)
			return ERR_INVALID;
	return str_is_utf8(text) ? copy(text, into, memory) : ERR_INVALID;
}

static int parse_secret(const struct config_row *row, struct str text, void *into, struct arena *memory)
{
	(void)row;
	return copy(text, into, memory);
}

static int parse_int(const struct config_row *row, struct str text, void *into, struct arena *memory)
{
	(void)memory;
	int64_t v;
	return str_to_i64(text, &v) < 0 ? ERR_INVALID : in_range(row, v, into);
}

static int parse_bool(const struct config_row *row, struct str text, void *into, struct arena *memory)
{
	(void)row;
	(void)memory;
	bool yes = str_is(text, "1") || str_is(text, "true");
	if (!yes && !str_is(text, "0") && !str_is(text, "false"))
		return ERR_INVALID;
	*(bool *)into = yes;
	return 0;
}

static int parse_enum(const struct config_row *row, struct str text, void *into, struct arena *memory)
{
	(void)memory;
	struct str words = str_from(row->words);
	for (int i = 0; words.p; i++) {
		if (!str_eq(text, str_cut(&words, '|')))
			continue;
		*(int *)into = i;
		return 0;
	}
	return ERR_INVALID;
}

/* Digits and one of the units; a bare 0 needs none. */
static int parse_units(const struct config_row *row, struct str text, void *into, const struct unit *units, size_t n)
{
	size_t digits = 0;
	int64_t v;
	while (digits < text.n && text.p[digits] >= '0' && text.p[digits] <= '9')
		digits++;
	if (str_to_i64(str_sub(text, 0, digits), &v) < 0)
		return ERR_INVALID;
	struct str unit = str_sub(text, digits, text.n - digits);
	if (v == 0 && unit.n == 0)
		return in_range(row, 0, into);
	for (size_t i = 0; i < n; i++)
		if (str_is(unit, units[i].name))
			return __builtin_mul_overflow(v, units[i].size, &v) ? ERR_INVALID : in_range(row, v, into);
	return ERR_INVALID;
}

static int parse_duration(const struct config_row *row, struct str text, void *into, struct arena *memory)
{
	(void)memory;
	return parse_units(row, text, into, durations, ARRAY_LEN(durations));
}

static int parse_bytes(const struct config_row *row, struct str text, void *into, struct arena *memory)
{
	(void)memory;
	return parse_units(row, text, into, sizes, ARRAY_LEN(sizes));
}

static int parse_json(const struct config_row *row, struct str text, void *into, struct arena *memory)
{
	(void)row;
	json_t *j = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES, NULL);
	bool ok = json_is_object(j);
	json_decref(j);
	return ok ? copy(text, into, memory) : ERR_INVALID;
}

static int parse_list(const struct config_row *row, struct str text, void *into, struct arena *memory)
{
	size_t most = 1;
	for (size_t i = 0; i < text.n; i++)
		most += text.p[i] == ',';
	const char **items = arena_array(memory, most, sizeof(*items));
	if (!items)
		return ERR_NOMEM;
	size_t n = 0;
	while (text.p) {
		struct str item = str_trim(str_cut(&text, ','));
		if (item.n == 0)
			continue;
		int rc = parse_string(row, item, &items[n], memory);
		if (rc < 0)
			return rc;
		n++;
	}
	*(struct config_list *)into = (struct config_list){items, n};
	return 0;
}

static int parse_rate(const struct config_row *row, struct str text, void *into, struct arena *memory)
{
	if (str_is(text, "off")) {
		*(int64_t *)into = 0;
		return 0;
	}
	if (!str_ends(text, STR("/s")))
		return ERR_INVALID;
	return parse_int(row, str_sub(text, 0, text.n - 2), into, memory);
}

static void allow_int(const struct config_row *row, struct buf *out)
{
	buf_addf(out, "a whole number from %lld to %lld", (long long)row->min, (long long)row->max);
}

static void allow_words(const struct config_row *row, struct buf *out)
{
	struct str rest = str_from(row->words);
	for (struct str word = str_cut(&rest, '|'); word.p; word = str_cut(&rest, '|')) {
		buf_adds(out, word);
		if (rest.p)
			buf_addz(out, memchr(rest.p, '|', rest.n) ? ", " : " or ");
	}
}

/* The number in the largest unit that divides it. */
static void add_in_units(struct buf *out, int64_t v, const struct unit *units, size_t n)
{
	const struct unit *u = &units[0];
	for (size_t i = 0; i < n; i++)
		if (v % units[i].size == 0)
			u = &units[i];
	buf_addi(out, v / u->size);
	if (v)
		buf_addz(out, u->name);
}

static void allow_duration(const struct config_row *row, struct buf *out)
{
	buf_addz(out, "a number with ms, s, m, h or d, from ");
	add_in_units(out, row->min, durations, ARRAY_LEN(durations));
	buf_addz(out, " to ");
	add_in_units(out, row->max, durations, ARRAY_LEN(durations));
}

static void allow_bytes(const struct config_row *row, struct buf *out)
{
	buf_addz(out, "bytes, or a number with KiB, MiB, GiB or TiB, from ");
	add_in_units(out, row->min, sizes, ARRAY_LEN(sizes));
	buf_addz(out, " to ");
	add_in_units(out, row->max, sizes, ARRAY_LEN(sizes));
}

static void allow_rate(const struct config_row *row, struct buf *out)
{
	buf_addf(out, "off, or N/s with N from %lld to %lld", (long long)row->min, (long long)row->max);
}

static const struct {
	const char *name;
	parse_fn *parse;
	const char *allowed; /* or, where it depends on the row: */
	void (*allow)(const struct config_row *row, struct buf *out);
} types[] = {
	[CONFIG_STRING] = {"string", parse_string, "UTF-8 text without control characters", NULL},
	[CONFIG_SECRET] = {"secret", parse_secret, "text without NUL bytes", NULL},
	[CONFIG_INT] = {"int", parse_int, NULL, allow_int},
	[CONFIG_BOOL] = {"bool", parse_bool, "0, 1, false or true", NULL},
	[CONFIG_ENUM] = {"enum", parse_enum, NULL, allow_words},
	[CONFIG_DURATION] = {"duration", parse_duration, NULL, allow_duration},
	[CONFIG_BYTES] = {"bytes", parse_bytes, NULL, allow_bytes},
	[CONFIG_JSON] = {"json", parse_json, "a JSON object", NULL},
	[CONFIG_LIST] = {"list", parse_list, "texts with commas between them", NULL},
	[CONFIG_RATE] = {"rate", parse_rate, NULL, allow_rate},
};

const char *config_type_name(enum config_type type)
{
	return types[type].name;
}

void config_allowed(const struct config_row *row, struct buf *out)
{
	if (types[row->type].allow)
		types[row->type].allow(row, out);
	else
		buf_addz(out, types[row->type].allowed);
}

int config_parse(const struct config_row *row, const char *text, struct config *cfg)
{
	return types[row->type].parse(row, str_from(text), (char *)cfg + row->offset, &cfg->memory);
}
