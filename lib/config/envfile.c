#include "lib/config/envfile.h"

#include <ctype.h>

#include "lib/base/err.h"

static bool is_name(struct str s)
{
	if (s.n == 0 || isdigit((unsigned char)s.p[0]))
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!isalnum((unsigned char)s.p[i]) && s.p[i] != '_')
			return false;
	return true;
}

/* Nothing but a comment may stand behind a closing quote. */
static bool is_end(struct str rest)
{
	rest = str_trim(rest);
	return rest.n == 0 || rest.p[0] == '#';
}

static struct str unquoted(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] == '#' && (i == 0 || s.p[i - 1] == ' ' || s.p[i - 1] == '\t'))
			return str_trim(str_sub(s, 0, i));
	return str_trim(s);
}

/* The text between quotes into out, escapes undone where the quote is double; false when it does not end or something follows. */
static bool quoted(struct str s, struct buf *out)
{
	char quote = s.p[0];
	for (size_t i = 1; i < s.n; i++) {
		char c = s.p[i];
		if (c == quote)
			return is_end(str_sub(s, i + 1, s.n - i - 1));
		if (c == '\\' && quote == '"' && i + 1 < s.n && strchr("n\"\\", s.p[i + 1])) {
			i++;
			c = (char)(s.p[i] == 'n' ? '\n' : s.p[i]);
		}
		buf_addc(out, c);
	}
	return false;
}

/* What is wrong with the line, or NULL. */
static const char *read_line(struct str line, struct str *name, struct buf *value)
{
	if (memchr(line.p, '\0', line.n))
		return "contains a NUL byte";
	if (str_starts(line, STR("export ")))
		line = str_trim(str_sub(line, 7, line.n - 7));
	struct str rest = line;
	*name = str_trim(str_cut(&rest, '='));
	if (!rest.p || !is_name(*name))
		return "is not NAME=value";
	rest = str_trim(rest);
	if (rest.n == 0 || (rest.p[0] != '"' && rest.p[0] != '\'')) {
		buf_adds(value, unquoted(rest));
		return NULL;
	}
	return quoted(rest, value) ? NULL : "has a quote that does not end, or text behind the closing one";
}

int envfile_read(const char *path, struct str text, struct arena *memory, envfile_fn *fn, void *arg, struct buf *problems)
{
	struct buf value = BUF_INIT;
	int rc = 0;
	for (unsigned number = 1; text.p && rc == 0; number++) {
		struct str line = str_cut(&text, '\n');
		if (line.n && line.p[line.n - 1] == '\r')
			line.n--;
		line = str_trim(line);
		if (line.n == 0 || line.p[0] == '#')
			continue;
		struct str name;
		buf_clear(&value);
		const char *wrong = read_line(line, &name, &value);
		if (wrong) {
			buf_addf(problems, "%s: line %u %s.\n", path, number, wrong);
			continue;
		}
		const char *name_z = arena_dupz(memory, name);
		const char *value_z = value.failed ? NULL : arena_dupz(memory, buf_str(&value));
		if (name_z && value_z)
			fn(arg, name_z, value_z);
		else
			rc = ERR_NOMEM;
	}
	buf_release(&value);
	return rc;
}
