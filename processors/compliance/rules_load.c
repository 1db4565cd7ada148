#include <dirent.h>
#include <errno.h>

#include "lib/base/digest.h"
#include "lib/base/embed.h"
#include "lib/base/fs.h"
#include "lib/json/jdoc.h"
#include "lib/schema/schema.h"
#include "processors/compliance/rules_private.h"

#define MAX_FILE_BYTES ((size_t)1 << 20)
#define MAX_FRAMEWORKS 32
#define MAX_PHRASES 4096

EMBED_FILE(rules_schema, "processors/compliance/rules.schema.json");
EMBED_FILE(rules_gdpr, "processors/compliance/rules/gdpr.json");
EMBED_FILE(rules_sox, "processors/compliance/rules/sox.json");
EMBED_FILE(rules_hipaa, "processors/compliance/rules/hipaa.json");
EMBED_FILE(rules_pci_dss, "processors/compliance/rules/pci-dss.json");

struct rulebook {
	struct arena memory;
	struct framework frameworks[MAX_FRAMEWORKS];
	size_t n;
	struct str phrases[MAX_PHRASES];
	size_t n_phrases;
	unsigned char hash[SHA256_BYTES]; /* of the hash before, and the text */
	char digest[SHA256_HEX_SIZE];
};

struct loader {
	struct rulebook *book;
	struct schema *shape;
	const char *origin; /* the file, for messages */
	struct jdoc doc;
	struct str control; /* the rule that is being read */
	struct err *err;
};

/* ---- small readers; the shape has been checked ---- */

static int fail(const struct loader *l, const char *what)
{
	return err_set(l->err, ERR_INVALID, "%s: %.*s: %s", l->origin, STR_ARG(l->control), what);
}

static int no_memory(const struct loader *l)
{
	return err_set(l->err, ERR_NOMEM, "%s: no memory for the rules", l->origin);
}

static uint32_t member(const struct loader *l, uint32_t node, const char *name)
{
	return jdoc_get(&l->doc, node, name);
}

static struct str text(const struct loader *l, uint32_t node, const char *name)
{
	uint32_t c = member(l, node, name);
	return c == JDOC_NONE ? STR_NONE : jdoc_string(&l->doc, c, &l->book->memory);
}

static size_t count(const struct loader *l, uint32_t node, const char *name, size_t preset)
{
	int64_t v;
	uint32_t c = member(l, node, name);
	return c != JDOC_NONE && jdoc_int(&l->doc, c, &v) == 0 ? (size_t)v : preset;
}

/* The position of a word in a list; 0 without. */
static unsigned word(const struct loader *l, uint32_t node, const char *name, const char *const *words, unsigned n)
{
	struct str s = text(l, node, name);
	for (unsigned i = 0; s.p && i < n; i++)
		if (words[i] && str_is(s, words[i]))
			return i;
	return 0;
}

static int texts(const struct loader *l, uint32_t node, struct str_list *out)
{
	if (node == JDOC_NONE)
		return 0;
	out->items = arena_array(&l->book->memory, l->doc.nodes[node].count, sizeof(*out->items));
	if (!out->items)
		return no_memory(l);
	for (uint32_t c = jdoc_first(&l->doc, node); c != JDOC_NONE; c = jdoc_next(&l->doc, node, c)) {
		out->items[out->n] = jdoc_string(&l->doc, c, &l->book->memory);
		if (!out->items[out->n++].p)
			return no_memory(l);
	}
	return 0;
}

/* ---- conditions ---- */

static int phrase_number(const struct loader *l, struct str words, uint16_t *out)
{
	struct rulebook *b = l->book;
	size_t i = 0;
	while (i < b->n_phrases && !str_eq(b->phrases[i], words))
		i++;
	if (i == MAX_PHRASES)
		return fail(l, "too many terms in all rules");
	if (i == b->n_phrases)
		b->phrases[b->n_phrases++] = words;
	*out = (uint16_t)i;
	return 0;
}

static int read_terms(const struct loader *l, uint32_t node, struct condition *c)
{
	struct str_list words = {0};
	int rc = texts(l, node, &words);
	if (rc < 0)
		return rc;
	c->phrases = arena_array(&l->book->memory, words.n, sizeof(*c->phrases));
	if (!c->phrases)
		return no_memory(l);
	for (size_t i = 0; rc == 0 && i < words.n; i++)
		rc = phrase_number(l, words.items[i], &c->phrases[c->n_phrases++]);
	return rc;
}

static int read_entity(const struct loader *l, uint32_t node, struct condition *c)
{
	struct str name = jdoc_string(&l->doc, node, &l->book->memory);
	c->entity = name.p ? entity_find(name) : -1;
	return c->entity < 0 ? fail(l, "there is no such entity") : 0;
}

static int read_category(const struct loader *l, uint32_t node, struct condition *c)
{
	struct str name = jdoc_string(&l->doc, node, &l->book->memory);
	c->categories = name.p ? category_find(name) : 0;
	return c->categories == 0 ? fail(l, "there is no such category") : 0;
}

static int read_condition(const struct loader *l, uint32_t node, struct condition **out);

static int read_children(const struct loader *l, uint32_t node, struct condition *c)
{
	bool one = c->kind == CONDITION_NOT;
	c->children = arena_array(&l->book->memory, one ? 1 : l->doc.nodes[node].count, sizeof(*c->children));
	if (!c->children)
		return no_memory(l);
	int rc = 0;
	for (uint32_t k = one ? node : jdoc_first(&l->doc, node); rc == 0 && k != JDOC_NONE; k = one ? JDOC_NONE : jdoc_next(&l->doc, node, k)) {
		struct condition *child = NULL;
		rc = read_condition(l, k, &child);
		if (rc == 0)
			c->children[c->n_children++] = *child;
	}
	return rc;
}

static const struct {
	const char *name;
	int (*read)(const struct loader *l, uint32_t node, struct condition *c);
} kinds[] = {
	[CONDITION_ALL] = {"all", read_children},       [CONDITION_ANY] = {"any", read_children},
	[CONDITION_NOT] = {"not", read_children},       [CONDITION_ENTITY] = {"entity", read_entity},
	[CONDITION_CATEGORY] = {"category", read_category}, [CONDITION_TERM] = {"term", read_terms},
};

static int read_within(const struct loader *l, uint32_t node, struct condition *c)
{
	static const struct {
		const char *name;
		enum reach reach;
	} reaches[] = {{"chars", REACH_CHARS}, {"words", REACH_WORDS}, {"page", REACH_PAGE}};
	if (node == JDOC_NONE)
		return 0;
	for (size_t i = 0; i < c->n_children; i++)
		if (c->children[i].kind < CONDITION_ENTITY)
			return fail(l, "\"within\" is for entities, categories and terms");
	if (c->kind != CONDITION_ALL || c->n_children < 2)
		return fail(l, "\"within\" stands beside \"all\" with two conditions or more");
	for (size_t i = 0; i < ARRAY_LEN(reaches); i++)
		if (member(l, node, reaches[i].name) != JDOC_NONE) {
			c->reach = reaches[i].reach;
			c->distance = (unsigned)count(l, node, reaches[i].name, 0);
		}
	return 0;
}

static int read_leaf(const struct loader *l, uint32_t node, struct condition *c)
{
	static const char *const own[] = {"minCount", "minDistinct", "minScore", "form"};
	static const char *const forms[] = {[FORM_MASKED] = "masked", [FORM_UNMASKED] = "unmasked"};
	double least = 0;
	for (size_t i = 0; c->kind < CONDITION_ENTITY && i < ARRAY_LEN(own); i++)
		if (member(l, node, own[i]) != JDOC_NONE)
			return fail(l, "minCount, minDistinct, minScore and form belong to an entity, a category or a term");
	if (member(l, node, "minScore") != JDOC_NONE && jdoc_double(&l->doc, member(l, node, "minScore"), &least) < 0)
		return fail(l, "minScore");
	c->least_percent = (unsigned)(least * 100 + 0.5);
	c->least_count = count(l, node, "minCount", 1);
	c->least_distinct = count(l, node, "minDistinct", 1);
	c->form = (enum form)word(l, node, "form", forms, ARRAY_LEN(forms));
	return 0;
}

static int read_condition(const struct loader *l, uint32_t node, struct condition **out)
{
	struct condition *c = arena_zalloc(&l->book->memory, sizeof(*c));
	unsigned given = 0;
	int rc = c ? 0 : no_memory(l);
	for (unsigned k = 0; rc == 0 && k < ARRAY_LEN(kinds); k++) {
		uint32_t value = member(l, node, kinds[k].name);
		if (value == JDOC_NONE)
			continue;
		given++;
		c->kind = (enum condition_kind)k;
		rc = kinds[k].read(l, value, c);
	}
	if (rc == 0 && given != 1)
		rc = fail(l, "a condition is exactly one of all, any, not, entity, category and term");
	if (rc == 0)
		rc = read_within(l, member(l, node, "within"), c);
	if (rc == 0)
		rc = read_leaf(l, node, c);
	*out = c;
	return rc;
}

static int read_optional(const struct loader *l, uint32_t node, struct condition **out)
{
	return node == JDOC_NONE ? 0 : read_condition(l, node, out);
}

/* ---- rules ---- */

static int read_checklist(const struct loader *l, uint32_t node, struct rule *r)
{
	if (node == JDOC_NONE)
		return 0;
	r->checklist = arena_array(&l->book->memory, l->doc.nodes[node].count, sizeof(*r->checklist));
	if (!r->checklist)
		return no_memory(l);
	int rc = 0;
	for (uint32_t c = jdoc_first(&l->doc, node); rc == 0 && c != JDOC_NONE; c = jdoc_next(&l->doc, node, c)) {
		struct check_item *item = &r->checklist[r->n_checklist++];
		item->name = text(l, c, "item");
		rc = item->name.p ? read_condition(l, member(l, c, "when"), &item->when) : no_memory(l);
	}
	return rc;
}

/* What a rule must have follows from its kind. */
static int check_rule(const struct loader *l, const struct rule *r)
{
	if (r->kind == RULE_NOT_ASSESSABLE)
		return r->when || r->checklist || r->applies ? fail(l, "a control that cannot be assessed has no conditions") : 0;
	if (r->severity == SEVERITY_NONE)
		return fail(l, "the severity is missing");
	if (r->checklist && r->kind != RULE_EVIDENCE)
		return fail(l, "a checklist belongs to kind \"evidence\"");
	return !r->when == !r->checklist ? fail(l, "a rule has either \"when\" or a checklist") : 0;
}

static int read_rule(struct loader *l, uint32_t node, struct rule *r)
{
	uint32_t tests = member(l, node, "tests");
	l->control = r->control = text(l, node, "control");
	r->title = text(l, node, "title");
	if (!r->control.p || !r->title.p)
		return no_memory(l);
	for (unsigned k = 0; k <= RULE_NOT_ASSESSABLE; k++)
		if (str_is(text(l, node, "kind"), rule_kind_word((enum rule_kind)k)))
			r->kind = (enum rule_kind)k;
	for (unsigned s = SEVERITY_LOW; s <= SEVERITY_CRITICAL; s++)
		if (str_is(text(l, node, "severity"), rule_severity_word((enum rule_severity)s)))
			r->severity = (enum rule_severity)s;
	r->remediate = text(l, node, "remediate");
	int rc = read_optional(l, member(l, node, "appliesTo"), &r->applies);
	if (rc == 0)
		rc = read_optional(l, member(l, node, "when"), &r->when);
	if (rc == 0)
		rc = read_checklist(l, member(l, node, "checklist"), r);
	if (rc == 0)
		rc = texts(l, member(l, node, "yields"), &r->yields);
	if (rc == 0 && tests != JDOC_NONE)
		rc = texts(l, member(l, tests, "hit"), &r->hit);
	if (rc == 0 && tests != JDOC_NONE)
		rc = texts(l, member(l, tests, "miss"), &r->miss);
	return rc < 0 ? rc : check_rule(l, r);
}

static int read_framework(struct loader *l, struct framework *f)
{
	uint32_t rules = member(l, JDOC_ROOT, "rules");
	*f = (struct framework){.id = text(l, JDOC_ROOT, "id"), .version = text(l, JDOC_ROOT, "version"), .title = text(l, JDOC_ROOT, "title")};
	f->rules = arena_array(&l->book->memory, l->doc.nodes[rules].count, sizeof(*f->rules));
	if (!f->id.p || !f->version.p || !f->title.p || !f->rules)
		return no_memory(l);
	int rc = 0;
	for (uint32_t c = jdoc_first(&l->doc, rules); rc == 0 && c != JDOC_NONE; c = jdoc_next(&l->doc, rules, c))
		rc = read_rule(l, c, &f->rules[f->n_rules++]);
	return rc;
}

/* ---- files ---- */

static int check_shape(const struct loader *l)
{
	struct arena scratch;
	arena_init(&scratch, 1 << 20);
	struct schema_report report = {.arena = &scratch};
	int rc = schema_check(l->shape, &l->doc, JDOC_ROOT, STR(""), &report);
	if (rc < 0)
		err_set(l->err, rc, "%s: %.*s: %.*s", l->origin, STR_ARG(report.first ? report.first->pointer : STR("")),
			STR_ARG(report.first ? report.first->detail : STR("not valid")));
	arena_release(&scratch);
	return rc;
}

static void add_to_digest(struct rulebook *b, struct str content)
{
	const struct str parts[] = {{(const char *)b->hash, sizeof(b->hash)}, content};
	digest_sha256_parts(parts, ARRAY_LEN(parts), b->hash);
	digest_hex(b->hash, sizeof(b->hash), b->digest);
}

static struct framework *place_for(struct loader *l, struct str id)
{
	struct rulebook *b = l->book;
	for (size_t i = 0; i < b->n; i++)
		if (str_eq(b->frameworks[i].id, id))
			return &b->frameworks[i];
	if (b->n < MAX_FRAMEWORKS)
		return &b->frameworks[b->n++];
	err_set(l->err, ERR_LIMIT, "%s: more than %d frameworks", l->origin, MAX_FRAMEWORKS);
	return NULL;
}

/* The text stays, since names point into it; the nodes are needed only while it is read. */
static int read_text(struct loader *l, struct str content, struct arena *nodes, struct framework *f)
{
	struct jdoc_fault fault;
	if (jdoc_parse(&l->doc, nodes, content, &JDOC_LIMITS, &fault) < 0)
		return err_set(l->err, ERR_INVALID, "%s: byte %u: %s", l->origin, fault.offset, fault.reason);
	int rc = check_shape(l);
	return rc < 0 ? rc : read_framework(l, f);
}

static int load_text(struct loader *l, const char *origin, struct str content)
{
	struct arena nodes;
	struct framework f;
	l->origin = origin;
	l->control = STR("the file");
	content = arena_dup(&l->book->memory, content);
	if (!content.p)
		return no_memory(l);
	arena_init(&nodes, 0);
	int rc = read_text(l, content, &nodes, &f);
	arena_release(&nodes);
	if (rc < 0)
		return rc;
	struct framework *place = place_for(l, f.id);
	if (!place)
		return ERR_LIMIT;
	*place = f;
	add_to_digest(l->book, content);
	return 0;
}

static int load_file(struct loader *l, const char *dir, const char *name)
{
	struct buf path = BUF_INIT, content = BUF_INIT;
	buf_addf(&path, "%s/%s", dir, name);
	int rc = path.failed ? err_set(l->err, ERR_NOMEM, "no memory for a path") : fs_read_file(path.p, MAX_FILE_BYTES, &content, l->err);
	if (rc == 0)
		rc = load_text(l, path.p, buf_str(&content));
	buf_release(&content);
	buf_release(&path);
	return rc;
}

static int is_rules(const struct dirent *e)
{
	return e->d_name[0] != '.' && str_ends(str_from(e->d_name), STR(".json"));
}

/* In the order of their names, so that every start makes the same of them. */
static int load_dir(struct loader *l, const char *dir)
{
	struct dirent **names;
	int n = scandir(dir, &names, is_rules, alphasort);
	if (n < 0)
		return err_errno(l->err, "SLUICE_COMPLIANCE_RULES_DIR: %s", dir);
	int rc = 0;
	for (int i = 0; i < n; i++) {
		if (rc == 0)
			rc = load_file(l, dir, names[i]->d_name);
		free(names[i]);
	}
	free(names);
	return rc;
}

static int load_all(struct loader *l, const char *dir)
{
	const struct {
		const char *name;
		struct str content;
	} builtin[] = {
		{"gdpr.json", EMBEDDED(rules_gdpr)},
		{"sox.json", EMBEDDED(rules_sox)},
		{"hipaa.json", EMBEDDED(rules_hipaa)},
		{"pci-dss.json", EMBEDDED(rules_pci_dss)},
	};
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(builtin); i++)
		rc = load_text(l, builtin[i].name, builtin[i].content);
	return rc == 0 && dir && *dir ? load_dir(l, dir) : rc;
}

/* What loads: all files, or one text. */
struct origin {
	const char *dir, *name;
	struct str text; /* .p NULL: the files */
};

static struct rulebook *load(const struct origin *from, struct err *err)
{
	struct err why = {0};
	struct rulebook *b = calloc(1, sizeof(*b));
	if (!b) {
		err_set(err, ERR_NOMEM, "no memory for the rules");
		return NULL;
	}
	arena_init(&b->memory, 0);
	struct loader l = {.book = b, .err = &why, .shape = schema_compile(EMBEDDED(rules_schema), &why)};
	int rc = !l.shape ? ERR_BUG : from->text.p ? load_text(&l, from->name, from->text) : load_all(&l, from->dir);
	schema_free(l.shape);
	if (rc == 0)
		return b;
	err_set(err, rc, "%s", why.text);
	rulebook_free(b);
	return NULL;
}

struct rulebook *rulebook_new(const char *dir, struct err *err)
{
	return load(&(struct origin){.dir = dir}, err);
}

struct rulebook *rulebook_parse(const char *origin, struct str text, struct err *err)
{
	return load(&(struct origin){.name = origin, .text = text}, err);
}

void rulebook_free(struct rulebook *b)
{
	if (!b)
		return;
	arena_release(&b->memory);
	free(b);
}

size_t rulebook_count(const struct rulebook *b)
{
	return b->n;
}

const struct framework *rulebook_at(const struct rulebook *b, size_t i)
{
	return &b->frameworks[i];
}

const struct framework *rulebook_find(const struct rulebook *b, struct str id)
{
	for (size_t i = 0; i < b->n; i++)
		if (str_eq(b->frameworks[i].id, id))
			return &b->frameworks[i];
	return NULL;
}

const struct str *rulebook_phrases(const struct rulebook *b)
{
	return b->phrases;
}

size_t rulebook_phrases_count(const struct rulebook *b)
{
	return b->n_phrases;
}

const char *rulebook_digest(const struct rulebook *b)
{
	return b->digest;
}
