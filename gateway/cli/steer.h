/* What `queues` and `jobs` have in common: verbs by table, answers as lines of facts. */
#ifndef SLUICE_GATEWAY_CLI_STEER_H
#define SLUICE_GATEWAY_CLI_STEER_H

#include "gateway/cli/client.h"
#include "lib/json/jwrite.h"

/* One request and how its answer is shown. */
struct steer_verb {
	const char *name;
	const char *method; /* NULL: it is more than one request, its command knows how */
	const char *suffix; /* behind the path of the thing that is acted on */
	void (*body)(struct jwrite *w, const void *options); /* NULL: none */
	void (*show)(struct reply *reply, struct buf *out);
};

/* In a table that ends with a row without a name. NULL: there is none. */
const struct steer_verb *steer_find(const struct steer_verb *verbs, const char *name);
/* Tells so, with the nearest of the words. CLI_USAGE. */
enum cli_exit steer_unknown(const char *typed, const char *const *words);
/* Does it. Releases path. */
enum cli_exit steer_call(struct client *c, const struct steer_verb *verb, struct buf *path, const void *options, bool json);

/* An option that goes with some verbs only, which stand in one string with blanks between. */
struct steer_option {
	const char *name;
	bool given;
	const char *verbs;
};
/* CLI_USAGE, and told, when one is given that does not go with the verb. The table ends with a row without a name. */
enum cli_exit steer_check_options(const struct steer_option *options, const char *verb) MUST_CHECK;

/* "500ms", "90s", "15m", "24h", "7d". 0 or ERR_INVALID. */
int steer_parse_span(const char *text, int64_t *ms) MUST_CHECK;

/* The states of a job, for completion. */
extern const char *const steer_states[];
extern const struct option_words steer_values[];

/* The answer of an explain route. */
void steer_show_findings(struct reply *reply, struct buf *out);

/* A line "name   value"; nothing where the value is not known (negative, or no text). */
void fact_text(struct buf *out, const char *name, struct str value);
void fact_json(struct buf *out, const char *name, struct str json);
void fact_number(struct buf *out, const char *name, int64_t value);
void fact_rate(struct buf *out, const char *name, double value);
void fact_span(struct buf *out, const char *name, int64_t ms);
void fact_time(struct buf *out, const char *name, int64_t wall_ms);

#endif
