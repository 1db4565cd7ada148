/* Workflows: one request, several jobs that wait for one another.
 *
 * A document is processed, then analysed, then its user is told. In BullMQ's words each step is the child of the next: the notification
 * waits for the analysis, which waits for the processing. */
#include "gateway/admission.h"
#include "gateway/http/audit.h"
#include "gateway/http/server.h"
#include "gateway/routes/access.h"
#include "gateway/routes/creation.h"
#include "gateway/routes/filters.h"
#include "gateway/routes/handlers.h"
#include "lib/bullmq/flow.h"
#include "lib/schema/schema.h"
#include "processors/runtime/tally.h"

/* The last step first, as a flow is written. A document that cannot be read is not analysed, but its user hears of it. */
enum step { STEP_NOTIFY, STEP_ANALYSE, STEP_PROCESS, STEP_COUNT };
static const struct {
	const char *queue;
	enum bq_on_parent on_failure;
} STEPS[STEP_COUNT] = {
	[STEP_NOTIFY] = {"notifications", BQ_PARENT_WAITS},
	[STEP_ANALYSE] = {"compliance-analysis", BQ_PARENT_CONTINUES},
	[STEP_PROCESS] = {"document-processing", BQ_PARENT_FAILS},
};

/* ---- what each step's job gets ---- */

static struct str asked(struct request *r, const char *name)
{
	return jdoc_string(&r->json, jdoc_get(&r->json, JDOC_ROOT, name), r->arena);
}

static void fill_caller(struct request *r, struct jwrite *w)
{
	jw_strz(w, r->who.sub);
}

static void fill_path(struct request *r, struct jwrite *w)
{
	jw_strz(w, arena_printf(r->arena, "/documents/%.*s", STR_ARG(asked(r, "documentId"))));
}

static void fill_no_list(struct request *r, struct jwrite *w)
{
	(void)r;
	jw_raw(w, STR("[]")); /* all that there are */
}

static void fill_email(struct request *r, struct jwrite *w)
{
	(void)r;
	jw_strz(w, "email");
}

static void fill_subject(struct request *r, struct jwrite *w)
{
	(void)r;
	jw_strz(w, "About your document");
}

static void fill_message(struct request *r, struct jwrite *w)
{
	jw_strz(w, arena_printf(r->arena, "This is what became of your document \"%.*s\" (%.*s).", STR_ARG(asked(r, "filename")),
				STR_ARG(asked(r, "documentId"))));
}

#define IN(step) (1u << (step))
#define IN_ALL (IN(STEP_PROCESS) | IN(STEP_ANALYSE) | IN(STEP_NOTIFY))

/* The members of the steps' data: the request's own where it has them, else what `fill` writes (NULL: left out). */
static const struct {
	const char *name;
	unsigned steps;
	void (*fill)(struct request *r, struct jwrite *w);
} MEMBERS[] = {
	{"documentId", IN(STEP_PROCESS) | IN(STEP_ANALYSE), NULL},
	{"userId", IN_ALL, fill_caller},
	{"filename", IN(STEP_PROCESS), NULL},
	{"mimeType", IN(STEP_PROCESS) | IN(STEP_ANALYSE), NULL},
	{"fileSize", IN(STEP_PROCESS), NULL},
	{"documentPath", IN(STEP_ANALYSE), fill_path},
	{"complianceFrameworks", IN(STEP_ANALYSE), fill_no_list},
	{"type", IN(STEP_NOTIFY), fill_email},
	{"subject", IN(STEP_NOTIFY), fill_subject},
	{"message", IN(STEP_NOTIFY), fill_message},
	{"metadata", IN_ALL, NULL},
};

static struct str write_data(struct request *r, enum step step)
{
	struct buf text = BUF_INIT;
	struct jwrite w = jwrite_into(&text);

	jw_open(&w, '{');
	for (size_t i = 0; i < ARRAY_LEN(MEMBERS); i++) {
		uint32_t given = jdoc_get(&r->json, JDOC_ROOT, MEMBERS[i].name);

		if (!(MEMBERS[i].steps & IN(step)) || (given == JDOC_NONE && !MEMBERS[i].fill))
			continue;
		jw_key(&w, MEMBERS[i].name);
		if (given != JDOC_NONE)
			jw_raw(&w, jdoc_raw(&r->json, given));
		else
			MEMBERS[i].fill(r, &w);
	}
	jw_close(&w, '}');
	struct str data = text.failed ? STR_NONE : arena_dup(r->arena, buf_str(&text));
	buf_release(&text);
	return data;
}

/* The queue's own schema may ask for more than the route's does. */
static bool data_fits(struct request *r, const struct declaration *decl, struct str data, struct schema_report *report)
{
	const struct schema *payload = decl->terms->payload;
	struct jdoc doc;
	struct jdoc_fault fault;

	if (!payload)
		return true;
	if (jdoc_parse(&doc, r->arena, data, &JDOC_LIMITS, &fault) < 0) {
		schema_report_add(report, STR(""), "%s", fault.reason);
		return false;
	}
	return schema_check(payload, &doc, JDOC_ROOT, STR(""), report) == 0;
}

/* ---- the flow ---- */

/* 0, or the response is written. */
static int plan_or_reply(struct request *r, struct response *res, struct bq_flow_job *jobs)
{
	const struct services *s = app_services(r->app);
	struct schema_report report = {.arena = r->arena};

	for (unsigned i = 0; i < STEP_COUNT; i++) {
		const struct declaration *decl = declarations_find(s->queues, str_from(STEPS[i].queue));
		struct str data = write_data(r, (enum step)i);

		if (!decl || !data.p) {
			struct err err = {0};
			err_set(&err, decl ? ERR_NOMEM : ERR_BUG, "%s", decl ? "out of memory" : "a queue of the workflow is not declared");
			response_error(r, res, &err);
			return err.code;
		}
		if (!data_fits(r, decl, data, &report)) {
			response_invalid(r, res, &report);
			return ERR_INVALID;
		}
		jobs[i] = (struct bq_flow_job){
			.queue = &decl->queue,
			.add = {.name = decl->terms->job_name, .data = data, .max_waiting = decl->terms->max_waiting},
			.parent = i == 0 ? BQ_FLOW_ROOT : i - 1,
		};
		bq_opts_init(&jobs[i].add.opts);
		jobs[i].add.opts.on_parent = STEPS[i].on_failure;
		creation_options(r, decl, &jobs[i].add.opts);
	}
	return 0;
}

static void write_jobs(struct jwrite *w, const struct bq_flow_added *added)
{
	jw_open(w, '{');
	for (unsigned i = STEP_COUNT; i-- > 0;)
		jw_kstr(w, STEPS[i].queue, added->ids[i]);
	jw_close(w, '}');
}

static void note_created(struct request *r, const struct bq_flow_added *added)
{
	struct buf after = BUF_INIT;
	struct jwrite w = jwrite_into(&after);

	jw_open(&w, '{');
	jw_key(&w, "jobs");
	write_jobs(&w, added);
	jw_kbool(&w, "created", added->root.created && !added->root.replayed);
	jw_close(&w, '}');
	audit_note(r, "workflow.create", str_from(arena_printf(r->arena, "%s/%.*s", STEPS[STEP_NOTIFY].queue, STR_ARG(added->root.id))),
		   STR_NONE, buf_str(&after));
	buf_release(&after);
}

static void answer(struct request *r, struct response *res, const struct bq_flow_added *added)
{
	struct str queue = str_from(STEPS[STEP_NOTIFY].queue), url = status_url(r, queue, added->root.id);
	struct jwrite w = response_json(res, 201);

	jw_open(&w, '{');
	jw_kstr(&w, "jobId", added->root.id);
	jw_kstr(&w, "queue", queue);
	jw_kstr(&w, "statusUrl", url);
	jw_key(&w, "jobs");
	write_jobs(&w, added);
	jw_close(&w, '}');
	response_header(res, "Location", url);
	if (added->root.replayed)
		response_header(res, "Idempotent-Replayed", STR("true"));
}

void workflow_document_upload(struct request *r, struct response *res)
{
	const struct services *s = app_services(r->app);
	struct bq_flow_job jobs[STEP_COUNT];
	struct bq_flow flow = {.jobs = jobs, .n = STEP_COUNT};
	struct bq_flow_added added;
	struct err err = {0};
	struct str key;

	if (!query_read_or_reply(r, res, NULL, 0, NULL) || !creation_key_or_reply(r, res, &key) || plan_or_reply(r, res, jobs) < 0)
		return;
	struct idempotency idem = creation_idempotency(r, jobs[0].queue, key, r->body, 0);
	flow.idem_key = idem.key;
	flow.idem_fingerprint = idem.fingerprint;
	flow.idem_ttl_ms = idem.ttl_ms;
	if (admission_check(s->admission, &err) < 0 || bq_add_flow(s->bq, &flow, r->arena, &added, r->deadline_mono_ms, &err) < 0) {
		creation_refused(r, res, &err);
		return;
	}
	for (size_t i = 0; i < STEP_COUNT; i++)
		tallies_created(s->tallies, jobs[i].queue->name, declarations_find(s->queues, str_from(STEPS[i].queue)), &added.root, jobs[i].add.data.n);
	note_created(r, &added);
	answer(r, res, &added);
}
