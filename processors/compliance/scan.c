#include "processors/compliance/scan.h"

#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/base/lock.h"
#include "processors/compliance/confirm.h"

#define WORDS_BEFORE 48 /* bytes around a value in which words count */
#define WORDS_AFTER 24
#define WORDS_RAISE 35
#define WORDS_FLOOR 40
#define UNLIKELY_LOWERS 30
#define STRONG_PERCENT 85
#define MOST_PERCENT 99
#define STOP_EVERY 4096 /* hits */
#define MAX_IDLE_SCRATCHES 8

static const struct {
	enum entity entity;
	struct str words;
} terms[] = {
#define X(entity, words) {ENTITY_##entity, {words, sizeof(words) - 1}},
#include "processors/compliance/terms.def"
#undef X
};

struct scanner {
	/* set before the first run */
	const struct engine_ops *ops;
	void *engine;
	struct arena memory; /* of the triggers' texts */
	struct trigger *triggers;
	struct engine_pattern *patterns;
	unsigned n;
	/* protected by mu */
	struct lock mu;
	void *idle[MAX_IDLE_SCRATCHES];
	unsigned n_idle;
};

/* ---- scoring ---- */

static bool is_word_at(struct str text, size_t i, struct str word)
{
	for (size_t k = 0; k < word.n; k++)
		if (lower(text.p[i + k]) != word.p[k])
			return false;
	return (i == 0 || !is_alnum(text.p[i - 1])) && (i + word.n == text.n || !is_alnum(text.p[i + word.n]));
}

struct str words_in(struct str text, size_t from, size_t to, const char *words)
{
	struct str rest = str_from(words);
	while (rest.p && rest.n > 0) {
		struct str word = str_cut(&rest, '|');
		for (size_t i = from; i + word.n <= to; i++)
			if (is_word_at(text, i, word))
				return word;
	}
	return STR_NONE;
}

static int score(const struct scan *s, const struct candidate *c, struct str *word)
{
	const struct entity_info *e = &entity_infos[c->entity];
	unsigned window = c->window ? c->window : WORDS_BEFORE;
	size_t from = c->start > window ? c->start - window : 0;
	size_t to = s->text.n - c->end > WORDS_AFTER ? c->end + WORDS_AFTER : s->text.n;
	int percent = c->base ? c->base : e->base;
	*word = words_in(s->text, from, c->start, e->context);
	if (!word->p && !c->window)
		*word = words_in(s->text, c->end, to, e->context);
	if (c->needs_words && !word->p)
		return 0;
	if (c->proof == PROOF_STRONG || (c->proof == PROOF_WEAK && word->p))
		percent = percent > STRONG_PERCENT ? percent : STRONG_PERCENT;
	if (word->p)
		percent = percent + WORDS_RAISE > WORDS_FLOOR ? percent + WORDS_RAISE : WORDS_FLOOR;
	if (words_in(s->text, from, c->start, e->unlikely).p)
		percent -= UNLIKELY_LOWERS;
	return percent > MOST_PERCENT ? MOST_PERCENT : percent;
}

static void add(struct scan *s, const struct finding *f)
{
	struct findings *all = s->found;
	if (all->n == s->options->max_findings) {
		all->truncated = true;
		return;
	}
	if (all->n == all->capacity) {
		size_t capacity = all->capacity ? 2 * all->capacity : 64;
		struct finding *items = realloc(all->items, capacity * sizeof(*items));
		if (!items) {
			s->out_of_memory = true;
			return;
		}
		all->items = items;
		all->capacity = capacity;
	}
	all->items[all->n++] = *f;
}

void scan_report(struct scan *s, const struct candidate *c)
{
	struct str word;
	int percent = score(s, c, &word);
	if (percent < (int)s->options->least_percent)
		return;
	add(s, &(struct finding){
		       .start = (uint32_t)c->start,
		       .end = (uint32_t)c->end,
		       .entity = (uint16_t)c->entity,
		       .percent = (uint8_t)percent,
		       .masked = c->masked,
		       .validated = c->validated,
		       .context = word,
	       });
}

void scan_report_phrase(struct scan *s, unsigned phrase, size_t start, size_t end)
{
	add(s, &(struct finding){.start = (uint32_t)start, .end = (uint32_t)end, .entity = ENTITY_PHRASE, .phrase = (uint16_t)phrase, .percent = 100});
}

/* ---- the triggers of one scanner ---- */

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* From its end back to its first letter. */
static size_t phrase_start(const struct scan *s, struct str words, size_t end)
{
	size_t i = end;
	for (size_t k = words.n; k > 0 && i > 0; k--) {
		i--;
		if (words.p[k - 1] == ' ')
			while (i > 0 && is_space(s->text.p[i - 1]))
				i--;
	}
	return i;
}

void confirm_phrase(struct scan *s, const struct trigger *t, size_t end)
{
	size_t start = phrase_start(s, t->words, end);
	if (t->entity == ENTITY_PHRASE)
		scan_report_phrase(s, t->phrase, start, end);
	else
		scan_report(s, &(struct candidate){.entity = (enum entity)t->entity, .start = start, .end = end});
}

static const char *phrase_regex(struct arena *a, struct str words)
{
	struct buf b = BUF_INIT;
	buf_addz(&b, "\\b");
	for (size_t i = 0; i < words.n; i++) {
		char c = words.p[i];
		if (c == ' ')
			buf_addz(&b, "[\\x09-\\x0d\\x20]+");
		else if (is_alnum(c) || (unsigned char)c >= 0x80)
			buf_addc(&b, c);
		else
			buf_addf(&b, "\\%c", c);
	}
	if (words.n > 0 && is_alnum(words.p[words.n - 1]))
		buf_addz(&b, "\\b");
	const char *regex = b.failed ? NULL : arena_dupz(a, buf_str(&b));
	buf_release(&b);
	return regex;
}

static bool add_phrase(struct scanner *s, int entity, unsigned phrase, struct str words)
{
	struct trigger *t = &s->triggers[s->n++];
	words = arena_dup(&s->memory, words);
	*t = (struct trigger){.caseless = true, .confirm = confirm_phrase, .entity = entity, .phrase = phrase, .words = words};
	t->regex = words.p ? phrase_regex(&s->memory, words) : NULL;
	return t->regex;
}

static int collect(struct scanner *s, const struct str *phrases, size_t n, struct err *err)
{
	size_t all = triggers_count + ARRAY_LEN(terms) + n;
	s->triggers = arena_array(&s->memory, all, sizeof(*s->triggers));
	s->patterns = arena_array(&s->memory, all, sizeof(*s->patterns));
	bool ok = s->triggers && s->patterns;
	for (unsigned i = 0; ok && i < triggers_count; i++)
		s->triggers[s->n++] = triggers[i];
	for (size_t i = 0; ok && i < ARRAY_LEN(terms); i++)
		ok = add_phrase(s, (int)terms[i].entity, 0, terms[i].words);
	for (size_t i = 0; ok && i < n; i++)
		ok = add_phrase(s, ENTITY_PHRASE, (unsigned)i, phrases[i]);
	for (unsigned i = 0; ok && i < s->n; i++)
		s->patterns[i] = (struct engine_pattern){s->triggers[i].regex, s->triggers[i].caseless};
	return ok ? 0 : err_set(err, ERR_NOMEM, "no memory for the patterns");
}

static const struct engine_ops *choose(enum scanner_engine engine)
{
	if (engine == SCANNER_PCRE2)
		return &engine_pcre2;
	return engine == SCANNER_VECTORSCAN || engine_vectorscan.usable() ? &engine_vectorscan : &engine_pcre2;
}

struct scanner *scanner_new(enum scanner_engine engine, const struct str *phrases, size_t n, struct err *err)
{
	struct scanner *s = calloc(1, sizeof(*s));
	if (!s) {
		err_set(err, ERR_NOMEM, "no memory for a scanner");
		return NULL;
	}
	s->ops = choose(engine);
	arena_init(&s->memory, 0);
	lock_init(&s->mu);
	if (!s->ops->usable())
		err_set(err, ERR_UNAVAILABLE, "%s does not run on this processor", s->ops->name);
	else if (collect(s, phrases, n, err) == 0)
		s->engine = s->ops->compile(s->patterns, s->n, err);
	if (s->engine)
		return s;
	scanner_free(s);
	return NULL;
}

void scanner_free(struct scanner *s)
{
	if (!s)
		return;
	for (unsigned i = 0; i < s->n_idle; i++)
		s->ops->scratch_free(s->idle[i]);
	if (s->engine)
		s->ops->release(s->engine);
	lock_release(&s->mu);
	arena_release(&s->memory);
	free(s);
}

const char *scanner_engine_name(const struct scanner *s)
{
	return s->ops->name;
}

const char *scanner_engine_version(const struct scanner *s)
{
	return s->ops->version();
}

/* ---- a run ---- */

static void *take_scratch(struct scanner *s)
{
	void *scratch = NULL;
	lock_take(&s->mu);
	if (s->n_idle > 0)
		scratch = s->idle[--s->n_idle];
	lock_give(&s->mu);
	return scratch ? scratch : s->ops->scratch_new(s->engine);
}

static void give_scratch(struct scanner *s, void *scratch)
{
	lock_take(&s->mu);
	bool kept = s->n_idle < MAX_IDLE_SCRATCHES;
	if (kept)
		s->idle[s->n_idle++] = scratch;
	lock_give(&s->mu);
	if (!kept)
		s->ops->scratch_free(scratch);
}

struct run {
	struct scan scan;
	const struct trigger *triggers;
};

static bool on_hit(void *arg, unsigned pattern, size_t end)
{
	struct run *r = arg;
	struct scan *s = &r->scan;
	const struct trigger *t = &r->triggers[pattern];
	t->confirm(s, t, end);
	if (s->options->stop && ++s->asked >= STOP_EVERY) {
		s->asked = 0;
		s->stopped = s->options->stop(s->options->arg);
	}
	return !s->stopped && !s->out_of_memory;
}

static int by_place(const void *left, const void *right)
{
	const struct finding *a = left, *b = right;
	if (a->start != b->start)
		return a->start < b->start ? -1 : 1;
	if (a->end != b->end)
		return a->end > b->end ? -1 : 1;
	if (a->entity != b->entity)
		return a->entity < b->entity ? -1 : 1;
	return (a->phrase > b->phrase) - (a->phrase < b->phrase);
}

static bool same(const struct finding *a, const struct finding *b)
{
	return a->start == b->start && a->end == b->end && a->entity == b->entity && a->phrase == b->phrase;
}

/* Is a the better reading of the same place? */
static bool better(const struct finding *a, const struct finding *b)
{
	if (a->percent != b->percent)
		return a->percent > b->percent;
	return a->end - a->start > b->end - b->start;
}

/* Sorted by place; of two readings of one place the better stays. Phrases are no readings of anything. */
static void resolve(struct findings *f)
{
	size_t kept = 0, last = SIZE_MAX; /* the last that is data */
	if (f->n > 0)
		qsort(f->items, f->n, sizeof(f->items[0]), by_place);
	for (size_t i = 0; i < f->n; i++) {
		const struct finding now = f->items[i];
		if (kept > 0 && same(&f->items[kept - 1], &now))
			continue;
		if (now.entity != ENTITY_PHRASE && last != SIZE_MAX && now.start < f->items[last].end) {
			if (better(&now, &f->items[last]))
				f->items[last] = now;
			continue;
		}
		if (now.entity != ENTITY_PHRASE)
			last = kept;
		f->items[kept++] = now;
	}
	f->n = kept;
	if (f->n > 0)
		qsort(f->items, f->n, sizeof(f->items[0]), by_place); /* a better reading may begin later */
}

int scanner_run(struct scanner *s, struct str text, const struct scan_options *o, struct findings *out, struct err *err)
{
	*out = (struct findings){0};
	if (text.n > UINT32_MAX)
		return err_set(err, ERR_LIMIT, "the text is too long");
	void *scratch = take_scratch(s);
	if (!scratch)
		return err_set(err, ERR_NOMEM, "no memory for scanning");
	struct run r = {.scan = {.text = text, .options = o, .found = out}, .triggers = s->triggers};
	int rc = text.n > 0 ? s->ops->run(s->engine, scratch, text, on_hit, &r, err) : 0;
	give_scratch(s, scratch);
	if (rc == 0 && r.scan.out_of_memory)
		rc = err_set(err, ERR_NOMEM, "no memory for what was found");
	if (rc == 0 && r.scan.stopped)
		rc = err_set(err, ERR_STOPPING, "the scan was stopped");
	if (rc < 0)
		findings_release(out);
	else
		resolve(out);
	return rc;
}

void findings_release(struct findings *f)
{
	free(f->items);
	*f = (struct findings){0};
}

size_t finding_normalize(struct str value, char *out, size_t size)
{
	size_t n = 0;
	for (size_t i = 0; i < value.n && n < size; i++)
		if (is_alnum(value.p[i]) || (unsigned char)value.p[i] >= 0x80)
			out[n++] = lower(value.p[i]);
	return n;
}
