/* What an analysis has found, and how it is told. The words are signals for a person who decides; no result says that a document keeps
 * a law. No value that was found is in any of it. */
#ifndef SLUICE_PROCESSORS_COMPLIANCE_ANALYSIS_H
#define SLUICE_PROCESSORS_COMPLIANCE_ANALYSIS_H

#include "processors/compliance/rules.h"
#include "processors/document/text_stats.h"

struct judged {
	const struct framework *framework;
	struct verdict *verdicts; /* one for each rule */
	unsigned risk;
	enum rule_severity level;
};

struct analysis {
	struct str document_id;
	const char *rules_digest, *engine, *engine_version;
	struct str text;
	struct text_stats stats;
	bool text_truncated;
	const char *text_origin;
	const struct findings *found;
	const uint32_t *numbers; /* of findings, from 1, as their ids have them; 0: a phrase, which is none */
	size_t n_findings;
	size_t distinct[ENTITY_COUNT]; /* values */
	struct judged *judged;
	size_t n_judged;
	int64_t load_ms, scan_ms, judge_ms;
};

/* Judges the findings by the frameworks that are named in a->judged; numbers, counts, risks and levels follow. ERR_NOMEM. */
int analysis_judge(struct analysis *a, struct arena *arena) MUST_CHECK;

/* The job's result, at most max_bytes: with as many findings as there is room for, at most max_findings. */
void analysis_write(const struct analysis *a, size_t max_findings, size_t max_bytes, struct buf *out);
/* All findings: {"schema":1,"documentId":…,"unit":"byte","findings":[…]}. */
void analysis_write_findings(const struct analysis *a, struct buf *out);

#endif
