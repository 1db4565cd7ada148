/* The scanner proper: text in, node table out. While a container is open, its node's `end` holds the index of the container around it, so
 * the nesting needs no stack of its own. */
#include "lib/base/err.h"
#include "lib/json/jdoc.h"
#include "lib/json/jkeys.h"
#include "lib/json/jnum.h"
#include "lib/json/jtext.h"

#define NODES_FIRST_MAX 4096u
#define BYTES_PER_NODE 16u /* a guess, for the first node table */
#define RANGE_SURE_BYTES 300u /* a number this short without an exponent is within a double's range */

const struct jdoc_limits JDOC_LIMITS = {.max_depth = 64, .max_nodes = 50000};
const struct jdoc_limits JDOC_TOKEN_LIMITS = {.max_depth = 4, .max_nodes = 256};

struct scan {
	struct jdoc *doc;
	struct arena *arena;
	const struct jdoc_limits *limits;
	struct jdoc_fault *fault;
	const char *p, *end;
	uint32_t cap;
	uint32_t open; /* the innermost open container, or JDOC_NONE */
	uint32_t depth;
	struct str key; /* of the value that comes next */
	bool key_escaped;
};

/* What a step of the scan has reached; negative is an error. */
enum step {
	VALUE_DONE, /* p is behind a whole value */
	VALUE_NEXT, /* p is at the first byte of a value */
	SCAN_DONE,  /* p is behind the root */
};

static const int fault_codes[] = {
	[JFAULT_SYNTAX] = ERR_INVALID,    [JFAULT_UTF8] = ERR_INVALID,          [JFAULT_DEPTH] = ERR_LIMIT,
	[JFAULT_NODES] = ERR_LIMIT,       [JFAULT_DUPLICATE_KEY] = ERR_INVALID, [JFAULT_SURROGATE] = ERR_INVALID,
	[JFAULT_NUL] = ERR_INVALID,       [JFAULT_RANGE] = ERR_INVALID,         [JFAULT_TRAILING] = ERR_INVALID,
	[JFAULT_EMPTY] = ERR_INVALID,     [JFAULT_MEMORY] = ERR_NOMEM,
};

static uint32_t offset_of(const struct scan *s, const char *p)
{
	return (uint32_t)(p - s->doc->text.p);
}

static int fail_at(const struct scan *s, const char *p, enum jfault kind, const char *reason)
{
	if (s->fault)
		*s->fault = (struct jdoc_fault){.kind = kind, .offset = offset_of(s, p), .reason = reason};
	return fault_codes[kind];
}

static int fail(const struct scan *s, enum jfault kind, const char *reason)
{
	return fail_at(s, s->p, kind, reason);
}

static int fail_syntax(const struct scan *s, const char *reason)
{
	return fail(s, JFAULT_SYNTAX, s->p == s->end ? "the text ends too early" : reason);
}

static void skip_space(struct scan *s)
{
	while (s->p < s->end && (*s->p == ' ' || *s->p == '\n' || *s->p == '\r' || *s->p == '\t'))
		s->p++;
}

static bool at(const struct scan *s, char c)
{
	return s->p < s->end && *s->p == c;
}

/* ---- nodes ---- */

static int grow_nodes(struct scan *s)
{
	if (s->cap == s->limits->max_nodes)
		return fail(s, JFAULT_NODES, "there are too many values");
	uint32_t cap = s->cap > s->limits->max_nodes / 2 ? s->limits->max_nodes : s->cap * 2;
	struct jnode *nodes = arena_alloc(s->arena, cap * sizeof(*nodes));
	if (!nodes)
		return fail(s, JFAULT_MEMORY, "out of memory");
	memcpy(nodes, s->doc->nodes, s->doc->n_nodes * sizeof(*nodes));
	s->doc->nodes = nodes;
	s->cap = cap;
	return 0;
}

/* Adds a node for the value at p, under the key that was scanned last. */
static int add_node(struct scan *s, enum jtype type)
{
	if (s->doc->n_nodes == s->cap) {
		int rc = grow_nodes(s);
		if (rc < 0)
			return rc;
	}
	uint32_t index = s->doc->n_nodes++;
	s->doc->nodes[index] = (struct jnode){
		.off = offset_of(s, s->p),
		.key_off = s->key.p ? offset_of(s, s->key.p) : 0,
		.key_len = (uint32_t)s->key.n,
		.end = index + 1,
		.type = (uint8_t)type,
		.key_escaped = s->key_escaped,
	};
	s->key = STR_NONE;
	s->key_escaped = false;
	if (s->open != JDOC_NONE)
		s->doc->nodes[s->open].count++;
	return 0;
}

static struct jnode *last_node(const struct scan *s)
{
	return &s->doc->nodes[s->doc->n_nodes - 1];
}

static int finish_scalar(struct scan *s)
{
	struct jnode *n = last_node(s);
	n->len = offset_of(s, s->p) - n->off;
	return VALUE_DONE;
}

/* ---- strings ---- */

static int scan_hex4(struct scan *s)
{
	int unit = s->end - s->p >= 4 ? jtext_hex4(s->p) : -1;
	if (unit < 0)
		return fail(s, JFAULT_SYNTAX, "\\u needs four hex digits");
	s->p += 4;
	return unit;
}

/* p is behind "\u". */
static int scan_unicode_escape(struct scan *s)
{
	const char *start = s->p;
	int unit = scan_hex4(s);
	if (unit < 0)
		return unit;
	if (unit == 0)
		return fail_at(s, start, JFAULT_NUL, "\\u0000 is not accepted");
	if (unit < 0xd800 || unit > 0xdfff)
		return 0;
	if (unit > 0xdbff || s->end - s->p < 2 || s->p[0] != '\\' || s->p[1] != 'u')
		return fail_at(s, start, JFAULT_SURROGATE, "half of a surrogate pair stands alone");
	s->p += 2;
	int low = scan_hex4(s);
	if (low < 0)
		return low;
	if (low < 0xdc00 || low > 0xdfff)
		return fail_at(s, start, JFAULT_SURROGATE, "half of a surrogate pair stands alone");
	return 0;
}

static int scan_escape(struct scan *s)
{
	s->p++;
	if (at(s, 'u')) {
		s->p++;
		return scan_unicode_escape(s);
	}
	if (s->p == s->end || !jtext_escape(*s->p))
		return fail_syntax(s, "this is not an escape that JSON has");
	s->p++;
	return 0;
}

/* p is at the opening quote and ends behind the closing one. */
static int scan_quoted(struct scan *s, bool *escaped)
{
	s->p++;
	for (;;) {
		s->p = jtext_skip_plain(s->p, s->end);
		if (s->p == s->end)
			return fail_syntax(s, "");
		if (*s->p == '"')
			break;
		if (*s->p == '\\') {
			*escaped = true;
			int rc = scan_escape(s);
			if (rc < 0)
				return rc;
			continue;
		}
		if ((unsigned char)*s->p < 0x20)
			return fail(s, JFAULT_SYNTAX, "a control character in a string must be escaped");
		size_t n = str_utf8_length((struct str){s->p, (size_t)(s->end - s->p)});
		if (n == 0)
			return fail(s, JFAULT_UTF8, "this is not UTF-8");
		s->p += n;
	}
	s->p++;
	return 0;
}

/* From the quote of a key to the first byte of its value. */
static int scan_key(struct scan *s)
{
	if (!at(s, '"'))
		return fail_syntax(s, "a key in double quotes is expected");
	const char *quote = s->p;
	int rc = scan_quoted(s, &s->key_escaped);
	if (rc < 0)
		return rc;
	s->key = (struct str){quote + 1, (size_t)(s->p - quote) - 2};
	skip_space(s);
	if (!at(s, ':'))
		return fail_syntax(s, "a colon is expected");
	s->p++;
	skip_space(s);
	return VALUE_NEXT;
}

/* ---- values: each is called with p at the value's first byte ---- */

static int value_string(struct scan *s)
{
	int rc = add_node(s, J_STRING);
	bool escaped = false;
	if (rc == 0)
		rc = scan_quoted(s, &escaped);
	if (rc < 0)
		return rc;
	last_node(s)->escaped = escaped;
	return finish_scalar(s);
}

static int scan_digits(struct scan *s)
{
	const char *start = s->p;
	while (s->p < s->end && *s->p >= '0' && *s->p <= '9')
		s->p++;
	return s->p > start ? 0 : fail_syntax(s, "a digit is expected");
}

static int scan_exponent(struct scan *s)
{
	s->p++;
	if (at(s, '+') || at(s, '-'))
		s->p++;
	return scan_digits(s);
}

static int value_number(struct scan *s)
{
	const char *start = s->p;
	int rc = add_node(s, J_NUMBER);
	if (rc < 0)
		return rc;
	if (*s->p == '-')
		s->p++;
	if (at(s, '0'))
		s->p++;
	else if ((rc = scan_digits(s)) < 0)
		return rc;
	if (at(s, '.')) {
		s->p++;
		if ((rc = scan_digits(s)) < 0)
			return rc;
	}
	bool exponent = at(s, 'e') || at(s, 'E');
	if (exponent && (rc = scan_exponent(s)) < 0)
		return rc;
	size_t len = (size_t)(s->p - start);
	if (exponent || len > RANGE_SURE_BYTES) {
		struct jnum n = jnum_read((struct str){start, len});
		if (__builtin_isinf(jnum_double(&n)))
			return fail_at(s, start, JFAULT_RANGE, "this number is out of range");
	}
	return finish_scalar(s);
}

static int value_word(struct scan *s)
{
	static const struct {
		struct str text;
		enum jtype type;
	} words[] = {{{"true", 4}, J_TRUE}, {{"false", 5}, J_FALSE}, {{"null", 4}, J_NULL}};
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		struct str word = words[i].text;
		if ((size_t)(s->end - s->p) < word.n || memcmp(s->p, word.p, word.n) != 0)
			continue;
		int rc = add_node(s, words[i].type);
		if (rc < 0)
			return rc;
		s->p += word.n;
		return finish_scalar(s);
	}
	return fail(s, JFAULT_SYNTAX, "this is no JSON value");
}

/* p is at the bracket that closes the innermost open container. */
static int close_container(struct scan *s)
{
	s->p++;
	struct jdoc *doc = s->doc;
	uint32_t index = s->open;
	struct jnode *n = &doc->nodes[index];
	s->open = n->end;
	s->depth--;
	n->end = doc->n_nodes;
	n->len = offset_of(s, s->p) - n->off;
	if (n->type != J_OBJECT || n->count < 2)
		return VALUE_DONE;
	uint32_t duplicate = JDOC_NONE;
	if (jkeys_find_duplicate(doc, index, &duplicate) < 0)
		return fail(s, JFAULT_MEMORY, "out of memory");
	if (duplicate != JDOC_NONE)
		return fail_at(s, doc->text.p + doc->nodes[duplicate].key_off, JFAULT_DUPLICATE_KEY, "this key stands twice in its object");
	return VALUE_DONE;
}

static int open_container(struct scan *s, enum jtype type)
{
	if (s->depth == s->limits->max_depth)
		return fail(s, JFAULT_DEPTH, "the nesting is too deep");
	int rc = add_node(s, type);
	if (rc < 0)
		return rc;
	last_node(s)->end = s->open;
	s->open = s->doc->n_nodes - 1;
	s->depth++;
	s->p++;
	skip_space(s);
	if (at(s, type == J_OBJECT ? '}' : ']'))
		return close_container(s);
	return type == J_OBJECT ? scan_key(s) : VALUE_NEXT;
}

static int value_object(struct scan *s)
{
	return open_container(s, J_OBJECT);
}

static int value_array(struct scan *s)
{
	return open_container(s, J_ARRAY);
}

typedef int value_fn(struct scan *s);

/* By the first byte of a value. */
static value_fn *const value_scanners[256] = {
	['"'] = value_string, ['{'] = value_object, ['['] = value_array,  ['t'] = value_word,   ['f'] = value_word,   ['n'] = value_word,
	['-'] = value_number, ['0'] = value_number, ['1'] = value_number, ['2'] = value_number, ['3'] = value_number, ['4'] = value_number,
	['5'] = value_number, ['6'] = value_number, ['7'] = value_number, ['8'] = value_number, ['9'] = value_number,
};

static int scan_value(struct scan *s)
{
	value_fn *fn = s->p < s->end ? value_scanners[(unsigned char)*s->p] : NULL;
	return fn ? fn(s) : fail_syntax(s, "a value is expected");
}

/* Behind a value: closes what ends here, or goes on to the next value. */
static int scan_after_value(struct scan *s)
{
	while (s->open != JDOC_NONE) {
		bool object = s->doc->nodes[s->open].type == J_OBJECT;
		skip_space(s);
		if (at(s, ',')) {
			s->p++;
			skip_space(s);
			return object ? scan_key(s) : VALUE_NEXT;
		}
		if (!at(s, object ? '}' : ']'))
			return fail_syntax(s, "a comma or the closing bracket is expected");
		int rc = close_container(s);
		if (rc < 0)
			return rc;
	}
	return SCAN_DONE;
}

static int scan_text(struct scan *s)
{
	skip_space(s);
	if (s->p == s->end)
		return fail(s, JFAULT_EMPTY, "there is no value");
	int step = VALUE_NEXT;
	while (step >= 0 && step != SCAN_DONE)
		step = step == VALUE_NEXT ? scan_value(s) : scan_after_value(s);
	if (step < 0)
		return step;
	skip_space(s);
	if (s->p < s->end)
		return fail(s, JFAULT_TRAILING, "something stands behind the value");
	return 0;
}

int jdoc_parse(struct jdoc *doc, struct arena *a, struct str text, const struct jdoc_limits *limits, struct jdoc_fault *fault)
{
	if (!text.p)
		text = STR("");
	*doc = (struct jdoc){.text = text};
	struct scan s = {.doc = doc, .arena = a, .limits = limits, .fault = fault, .p = text.p, .end = text.p + text.n, .open = JDOC_NONE};
	if (text.n >= UINT32_MAX)
		return fail(&s, JFAULT_NODES, "the text is too long");
	size_t cap = text.n / BYTES_PER_NODE + 8;
	if (cap > NODES_FIRST_MAX)
		cap = NODES_FIRST_MAX;
	s.cap = cap > limits->max_nodes ? limits->max_nodes : (uint32_t)cap;
	doc->nodes = arena_alloc(a, s.cap * sizeof(*doc->nodes));
	if (!doc->nodes)
		return fail(&s, JFAULT_MEMORY, "out of memory");
	int rc = scan_text(&s);
	if (rc < 0)
		*doc = (struct jdoc){.text = text};
	return rc;
}
