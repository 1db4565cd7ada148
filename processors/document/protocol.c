#include "processors/document/protocol.h"

#include "lib/base/panic.h"

struct failure_row {
	const char *name, *sentence;
	enum failure_class class;
};

static const struct failure_row failures[FAILURE_COUNT] = {
	[FAILURE_NONE] = {"NONE", "nothing is wrong", FAILURE_CLASS_PERMANENT},
#define X(code, class, sentence) [FAILURE_##code] = {#code, sentence, FAILURE_CLASS_##class},
#include "processors/document/failures.def"
#undef X
};

struct warning_row {
	const char *name, *sentence;
};

static const struct warning_row warnings[WARNING_COUNT] = {
#define X(code, sentence) [WARNING_##code] = {#code, sentence},
#include "processors/document/warnings.def"
#undef X
};

const struct step_info step_infos[STEP_COUNT] = {
#define X(name, pct, text) [STEP_##name] = {pct, text},
#include "processors/document/steps.def"
#undef X
};

static const struct failure_row *row_of(enum failure f)
{
	bug_on((unsigned)f >= FAILURE_COUNT);
	return &failures[f];
}

const char *failure_name(enum failure f)
{
	return row_of(f)->name;
}

const char *failure_sentence(enum failure f)
{
	return row_of(f)->sentence;
}

enum failure_class failure_class(enum failure f)
{
	return row_of(f)->class;
}

enum failure failure_find(struct str name)
{
	for (unsigned f = FAILURE_NONE + 1; f < FAILURE_COUNT; f++)
		if (str_is(name, failures[f].name))
			return (enum failure)f;
	return FAILURE_NONE;
}

const char *warning_name(enum warning w)
{
	bug_on((unsigned)w >= WARNING_COUNT);
	return warnings[w].name;
}

const char *warning_sentence(enum warning w)
{
	bug_on((unsigned)w >= WARNING_COUNT);
	return warnings[w].sentence;
}

int warning_find(struct str name)
{
	for (int w = 0; w < WARNING_COUNT; w++)
		if (str_is(name, warnings[w].name))
			return w;
	return -1;
}

void metadata_write(const struct metadata *m, struct jwrite *w)
{
	jw_key(w, "metadata");
	jw_open(w, '{');
	jw_kstr(w, "title", m->title);
	jw_kstr(w, "author", m->author);
	jw_kstr(w, "created", m->created);
	jw_kstr(w, "producer", m->producer);
	jw_close(w, '}');
}

void security_write(const struct security *s, struct jwrite *w)
{
	jw_key(w, "security");
	jw_open(w, '{');
	jw_kbool(w, "encrypted", s->encrypted);
	jw_kbool(w, "javascript", s->javascript);
	jw_kbool(w, "macros", s->macros);
	jw_kint(w, "embeddedFiles", s->embedded_files);
	jw_close(w, '}');
}
