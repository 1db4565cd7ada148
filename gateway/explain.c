#include "gateway/explain.h"

#include "gateway/limiting.h"

#define OVERDUE_MS 5000        /* a delayed job is promoted sooner than this */
#define GROWTH 1.2             /* in against out from which a backlog grows */
#define GROWTH_LEAST 100       /* waiting jobs from which it matters */
#define FAILING_SHARE 0.5

enum severity { CRITICAL, WARNING, INFO, SEVERITIES };
static const char *const SEVERITY_WORDS[SEVERITIES] = {"critical", "warning", "info"};

enum scope {
	OF_QUEUE = 1,       /* said of a queue */
	OF_WAITING_JOB = 2, /* said of a job that waits, too: it is the queue's trouble that it waits for */
	OF_JOB = 4,         /* said of a job only */
};

struct finding {
	struct buf sentence;
	struct buf text_of_values;
	struct jwrite values;       /* what the sentence says besides its words, for those who say it in other words; what is not known is left out */
	int64_t since_ms, until_ms; /* -1: not known */
};

/* false: it is not so. Else the sentence and its values are written, and the times where they are known. */
typedef bool find_fn(const struct explained *e, struct finding *f);

static int64_t waiting(const struct explained *e)
{
	return e->facts->counts.n[BQ_WAITING] + e->facts->counts.n[BQ_PRIORITIZED];
}

/* Is anybody known to take jobs? Not known: true, since nothing is to be said then. */
static bool has_worker(const struct explained *e)
{
	const struct watch_queue *w = e->watched;

	return !w || w->bullmq_workers != 0 || w->sluice_workers > 0 || e->http_workers > 0;
}

/* A length of time for people: "850 ms", "12 s", "3 min", "5 h", "2 days". */
static void add_duration(struct buf *b, int64_t ms)
{
	static const struct {
		int64_t below, unit;
		const char *word;
	} units[] = {
		{1000, 1, "ms"},
		{120 * 1000, 1000, "s"},
		{120 * 60000, 60000, "min"},
		{(int64_t)48 * 3600000, 3600000, "h"},
		{INT64_MAX, (int64_t)24 * 3600000, "days"},
	};
	size_t i = 0;

	while (ms >= units[i].below)
		i++;
	buf_addf(b, "%lld %s", (long long)(ms / units[i].unit), units[i].word);
}

static void add_known(struct finding *f, const char *name, struct str text)
{
	if (text.n)
		jw_kstr(&f->values, name, text);
}

/* ---- of queues, and of jobs that wait there ---- */

static bool paused(const struct explained *e, struct finding *f)
{
	const struct bq_pause_note *note = &e->facts->pause;

	if (!e->facts->counts.paused)
		return false;
	buf_addz(&f->sentence, "The queue is paused");
	if (note->by.n)
		buf_addf(&f->sentence, " by %.*s", STR_ARG(note->by));
	if (note->reason.n)
		buf_addf(&f->sentence, ": %.*s", STR_ARG(note->reason));
	buf_addz(&f->sentence, note->reason.n ? "" : ".");
	add_known(f, "by", note->by);
	add_known(f, "reason", note->reason);
	f->since_ms = note->since_ms;
	return true;
}

static bool foreign_key(const struct explained *e, struct finding *f)
{
	if (!e->facts->counts.foreign)
		return false;
	buf_addz(&f->sentence, "Something of another kind stands under one of the queue's keys in Redis: what belongs there can be neither read nor written.");
	return true;
}

static bool no_worker(const struct explained *e, struct finding *f)
{
	if (has_worker(e))
		return false;
	buf_addf(&f->sentence, "No worker takes jobs of this queue%s.", waiting(e) > 0 ? ", and some wait" : "");
	if (waiting(e) > 0)
		jw_kint(&f->values, "jobs", waiting(e));
	f->since_ms = waiting(e) > 0 ? e->facts->next_since_ms : -1;
	return true;
}

static bool limited(const struct explained *e, struct finding *f)
{
	struct bq_limiter l = limiter_in_force(e->facts, e->decl);

	if (!is_limited(e->facts, e->decl))
		return false;
	if (l.max > 0 && e->facts->limit_used <= l.max) {
		buf_addf(&f->sentence, "The rate limit of %lld jobs in %lld ms is used up for ", (long long)l.max, (long long)l.duration_ms);
		jw_kint(&f->values, "max", l.max);
		jw_kint(&f->values, "durationMs", l.duration_ms);
	} else {
		buf_addz(&f->sentence, "The queue has been rate limited for another ");
	}
	add_duration(&f->sentence, e->facts->limit_ends_ms);
	buf_addc(&f->sentence, '.');
	jw_kint(&f->values, "leftMs", e->facts->limit_ends_ms);
	f->until_ms = e->now_ms + e->facts->limit_ends_ms;
	return true;
}

static bool at_concurrency(const struct explained *e, struct finding *f)
{
	int64_t active = e->facts->counts.n[BQ_ACTIVE];

	if (e->facts->concurrency < 0 || active < e->facts->concurrency)
		return false;
	buf_addf(&f->sentence, "%lld jobs run, as many as the queue allows for all workers together (%lld).", (long long)active,
		 (long long)e->facts->concurrency);
	jw_kint(&f->values, "jobs", active);
	jw_kint(&f->values, "concurrency", e->facts->concurrency);
	return true;
}

static bool stalled(const struct explained *e, struct finding *f)
{
	if (e->unlocked == 0)
		return false;
	buf_addf(&f->sentence, "%lld active job%s held by nobody: the worker is gone. The next stalled check puts %s back.", (long long)e->unlocked,
		 e->unlocked == 1 ? " is" : "s are", e->unlocked == 1 ? "it" : "them");
	jw_kint(&f->values, "jobs", e->unlocked);
	return true;
}

static bool marker_missing(const struct explained *e, struct finding *f)
{
	const struct bq_facts *q = e->facts;
	bool idle = q->counts.n[BQ_ACTIVE] == 0 && !q->counts.paused && !is_limited(q, e->decl);

	if (q->marker || !idle || waiting(e) == 0 || q->next_since_ms < 0 || e->now_ms - q->next_since_ms < OVERDUE_MS)
		return false;
	buf_addz(&f->sentence, "Jobs wait and none runs, but the marker that wakes idle workers is missing. They look by themselves within seconds.");
	f->since_ms = q->next_since_ms;
	return true;
}

static bool overdue(const struct explained *e, struct finding *f)
{
	int64_t late = e->facts->next_delayed_ms < 0 ? 0 : e->now_ms - e->facts->next_delayed_ms;

	if (e->facts->due == 0 || late < OVERDUE_MS)
		return false;
	buf_addf(&f->sentence, "%lld delayed jobs are due, the first for ", (long long)e->facts->due);
	add_duration(&f->sentence, late);
	buf_addz(&f->sentence, ", and nobody has promoted them: workers do that, and Sluice for declared queues.");
	jw_kint(&f->values, "jobs", e->facts->due);
	jw_kint(&f->values, "lateMs", late);
	f->since_ms = e->facts->next_delayed_ms;
	return true;
}

static bool left_by_v5(const struct explained *e, struct finding *f)
{
	if (e->facts->left_by_v5 == 0)
		return false;
	buf_addf(&f->sentence, "%lld jobs stand where BullMQ 5 put them while the queue was paused; newer workers do not look there. Resuming brings them back.",
		 (long long)e->facts->left_by_v5);
	jw_kint(&f->values, "jobs", e->facts->left_by_v5);
	return true;
}

static bool starved(const struct explained *e, struct finding *f)
{
	const int64_t *n = e->facts->counts.n;
	int64_t before = n[BQ_WAITING] - e->facts->left_by_v5;
	bool concerns = !e->job || e->job->state == BQ_PRIORITIZED;

	if (!concerns || n[BQ_PRIORITIZED] == 0 || before == 0)
		return false;
	buf_addf(&f->sentence, "%lld jobs with a priority are served only when the %lld without one are gone: BullMQ takes those first.",
		 (long long)n[BQ_PRIORITIZED], (long long)before);
	jw_kint(&f->values, "jobs", n[BQ_PRIORITIZED]);
	jw_kint(&f->values, "before", before);
	return true;
}

static bool growing(const struct explained *e, struct finding *f)
{
	const struct watch_queue *w = e->watched;

	if (!w || w->rates.out < 0 || w->rates.in <= w->rates.out * GROWTH || waiting(e) < GROWTH_LEAST)
		return false;
	buf_addf(&f->sentence, "Jobs come faster than they are done: %.1f a second in, %.1f out.", w->rates.in, w->rates.out);
	jw_key(&f->values, "in");
	jw_double(&f->values, w->rates.in);
	jw_key(&f->values, "out");
	jw_double(&f->values, w->rates.out);
	return true;
}

static bool failing(const struct explained *e, struct finding *f)
{
	const struct watch_queue *w = e->watched;

	if (!w || w->rates.out <= 0 || w->rates.failed < w->rates.out * FAILING_SHARE)
		return false;
	buf_addf(&f->sentence, "%.0f %% of the jobs that ended lately failed.", 100 * w->rates.failed / w->rates.out);
	jw_key(&f->values, "share");
	jw_double(&f->values, w->rates.failed / w->rates.out);
	return true;
}

/* ---- of jobs ---- */

static bool has_ended(const struct explained *e, struct finding *f)
{
	const struct bq_job *j = e->job;

	if (j->state != BQ_COMPLETED && j->state != BQ_FAILED)
		return false;
	buf_addf(&f->sentence, "The job has %s", j->state == BQ_COMPLETED ? "completed." : "failed");
	if (j->state == BQ_FAILED) {
		int64_t attempts = j->opts.attempts > 1 ? j->opts.attempts : 1;

		buf_addf(&f->sentence, " after %lld of %lld attempts: %.*s", (long long)j->attempts_made, (long long)attempts,
			 STR_ARG(j->failed_reason.p ? j->failed_reason : STR("nobody said why")));
		jw_kint(&f->values, "made", j->attempts_made);
		jw_kint(&f->values, "attempts", attempts);
		add_known(f, "reason", j->failed_reason);
	}
	f->since_ms = j->finished_on;
	return true;
}

static bool runs(const struct explained *e, struct finding *f)
{
	if (!e->standing->lock.p)
		return false;
	buf_addz(&f->sentence, "A worker has the job");
	if (e->job->processed_by.n)
		buf_addf(&f->sentence, ": %.*s", STR_ARG(e->job->processed_by));
	buf_addz(&f->sentence, ". Its lock lasts for another ");
	add_duration(&f->sentence, e->standing->lock_ms);
	buf_addz(&f->sentence, " and is renewed as long as the worker lives.");
	add_known(f, "worker", e->job->processed_by);
	jw_kint(&f->values, "leftMs", e->standing->lock_ms);
	f->since_ms = e->job->processed_on;
	f->until_ms = e->now_ms + e->standing->lock_ms;
	return true;
}

static bool lost_its_worker(const struct explained *e, struct finding *f)
{
	if (!e->standing->active || e->standing->lock.p)
		return false;
	buf_addf(&f->sentence, "The job was taken and its lock has run out: the worker%s%.*s is gone. The next stalled check puts it back.",
		 e->job->processed_by.n ? " " : "", STR_ARG(e->job->processed_by));
	add_known(f, "worker", e->job->processed_by);
	f->since_ms = e->job->processed_on;
	return true;
}

static bool is_delayed(const struct explained *e, struct finding *f)
{
	int64_t due = e->standing->due_ms;

	if (due < 0)
		return false;
	buf_addz(&f->sentence, due > e->now_ms ? "The job is delayed for another " : "The job was delayed and has been due for ");
	add_duration(&f->sentence, due > e->now_ms ? due - e->now_ms : e->now_ms - due);
	jw_kint(&f->values, due > e->now_ms ? "leftMs" : "lateMs", due > e->now_ms ? due - e->now_ms : e->now_ms - due);
	if (e->job->attempts_made > 0) {
		buf_addf(&f->sentence, ", after attempt %lld failed: %.*s", (long long)e->job->attempts_made,
			 STR_ARG(e->job->failed_reason.p ? e->job->failed_reason : STR("nobody said why")));
		jw_kint(&f->values, "attempt", e->job->attempts_made);
		add_known(f, "reason", e->job->failed_reason);
	}
	buf_addz(&f->sentence, ".");
	f->until_ms = due;
	return true;
}

static bool waits_for_children(const struct explained *e, struct finding *f)
{
	if (e->job->state != BQ_WAITING_CHILDREN || e->standing->pending == 0)
		return false;
	buf_addf(&f->sentence, "The job waits until %lld job%s that it depends on %s ended.", (long long)e->standing->pending,
		 e->standing->pending == 1 ? "" : "s", e->standing->pending == 1 ? "has" : "have");
	jw_kint(&f->values, "jobs", e->standing->pending);
	f->since_ms = e->job->timestamp;
	return true;
}

static bool stuck_with_children(const struct explained *e, struct finding *f)
{
	if (e->job->state != BQ_WAITING_CHILDREN || e->standing->pending > 0)
		return false;
	buf_addz(&f->sentence, "Every job that this one depends on has ended or is gone, and nobody has let it go on.");
	f->since_ms = e->job->timestamp;
	return true;
}

static bool to_be_failed(const struct explained *e, struct finding *f)
{
	if (!e->job->deferred_failure.p)
		return false;
	buf_addf(&f->sentence, "Whoever takes the job next must fail it at once: %.*s", STR_ARG(e->job->deferred_failure));
	add_known(f, "reason", e->job->deferred_failure);
	return true;
}

static bool left_aside(const struct explained *e, struct finding *f)
{
	if (!e->standing->left_by_v5)
		return false;
	buf_addz(&f->sentence, "The job stands where BullMQ 5 put it while the queue was paused; newer workers do not look there. Resuming brings it back.");
	return true;
}

/* Its list may be longer than was looked at: then nothing is said. */
static bool nowhere(const struct explained *e, struct finding *f)
{
	const struct bq_standing *s = e->standing;

	if (e->job->state != BQ_WAITING || s->ahead >= 0 || s->active || s->lock.p || s->left_by_v5 || !s->searched_all)
		return false;
	buf_addz(&f->sentence, "No list of the queue names the job: no worker will ever take it. Remove it and add it again.");
	return true;
}

static bool in_line(const struct explained *e, struct finding *f)
{
	int64_t ahead = e->standing->ahead, eta = explain_eta_ms(e);

	if (ahead < 0 && (e->job->state != BQ_WAITING || e->standing->searched_all))
		return false;
	if (ahead < 0)
		buf_addf(&f->sentence, "More than %d jobs are before it.", BQ_AHEAD_MAX);
	else if (ahead == 0)
		buf_addz(&f->sentence, "The job is the next in line.");
	else
		buf_addf(&f->sentence, "%lld job%s before it.", (long long)ahead, ahead == 1 ? " is" : "s are");
	jw_kint(&f->values, ahead < 0 ? "moreThan" : "jobs", ahead < 0 ? BQ_AHEAD_MAX : ahead);
	if (eta > 0) {
		jw_kint(&f->values, "etaMs", eta);
		buf_addz(&f->sentence, " At the present pace it is taken in about ");
		add_duration(&f->sentence, eta);
		buf_addc(&f->sentence, '.');
		f->until_ms = e->now_ms + eta;
	}
	f->since_ms = e->job->timestamp;
	return true;
}

/* ---- the table ---- */

static const struct {
	const char *code;
	enum severity severity;
	unsigned scope;
	const char *action; /* NULL: none, or to wait */
	find_fn *find;
} FINDINGS[] = {
	{"foreign-key", CRITICAL, OF_QUEUE | OF_WAITING_JOB, NULL, foreign_key},
	{"no-worker", CRITICAL, OF_QUEUE | OF_WAITING_JOB, "start-worker", no_worker},
	{"nowhere", CRITICAL, OF_JOB, "remove", nowhere},
	{"children-stuck", CRITICAL, OF_JOB, "remove", stuck_with_children},
	{"paused", WARNING, OF_QUEUE | OF_WAITING_JOB, "resume", paused},
	{"left-by-v5", WARNING, OF_QUEUE, "resume", left_by_v5},
	{"left-aside", WARNING, OF_JOB, "resume", left_aside},
	{"stalled", WARNING, OF_QUEUE, NULL, stalled},
	{"lock-expired", WARNING, OF_JOB, NULL, lost_its_worker},
	{"overdue", WARNING, OF_QUEUE, "start-worker", overdue},
	{"failing", WARNING, OF_QUEUE, NULL, failing},
	{"backlog-grows", WARNING, OF_QUEUE, "start-worker", growing},
	{"deferred-failure", WARNING, OF_JOB, NULL, to_be_failed},
	{"rate-limited", INFO, OF_QUEUE | OF_WAITING_JOB, NULL, limited},
	{"at-concurrency", INFO, OF_QUEUE | OF_WAITING_JOB, NULL, at_concurrency},
	{"priority-starved", INFO, OF_QUEUE | OF_WAITING_JOB, "change-priority", starved},
	{"marker-missing", INFO, OF_QUEUE | OF_WAITING_JOB, NULL, marker_missing},
	{"ended", INFO, OF_JOB, NULL, has_ended},
	{"running", INFO, OF_JOB, NULL, runs},
	{"delayed", INFO, OF_JOB, "promote", is_delayed},
	{"waiting-children", INFO, OF_JOB, NULL, waits_for_children},
	{"in-line", INFO, OF_JOB, NULL, in_line},
};

static void write_time(struct jwrite *w, const char *key, int64_t ms)
{
	jw_key(w, key);
	if (ms < 0)
		jw_null(w);
	else
		jw_int(w, ms);
}

static void write_finding(struct jwrite *w, const char *code, enum severity severity, const char *action, const struct finding *f)
{
	jw_open(w, '{');
	jw_kstrz(w, "code", code);
	jw_kstrz(w, "severity", SEVERITY_WORDS[severity]);
	jw_kstr(w, "sentence", buf_str(&f->sentence));
	jw_kraw(w, "values", buf_str(&f->text_of_values));
	write_time(w, "since", f->since_ms);
	write_time(w, "until", f->until_ms);
	jw_kstrz(w, "action", action);
	jw_close(w, '}');
}

static unsigned scopes_of(const struct explained *e)
{
	if (!e->job)
		return OF_QUEUE;
	bool waits = e->job->state == BQ_WAITING || e->job->state == BQ_PRIORITIZED;
	return waits && !e->standing->active ? OF_JOB | OF_WAITING_JOB : OF_JOB;
}

int64_t explain_eta_ms(const struct explained *e)
{
	const struct watch_queue *w = e->watched;

	if (!e->standing || e->standing->ahead < 0 || !w || w->rates.out <= 0)
		return -1;
	return (int64_t)((double)(e->standing->ahead + 1) * 1000 / w->rates.out);
}

static void finding_init(struct finding *f)
{
	*f = (struct finding){.since_ms = -1, .until_ms = -1};
	f->values = jwrite_into(&f->text_of_values);
	jw_open(&f->values, '{');
}

static void finding_release(struct finding *f)
{
	buf_release(&f->sentence);
	buf_release(&f->text_of_values);
}

static bool nothing(const struct explained *e, struct finding *f)
{
	buf_addf(&f->sentence, "Nothing keeps %s from running.", e->job ? "the job" : "the jobs of this queue");
	return true;
}

/* Whether it is so. */
static bool judge(struct jwrite *w, const struct explained *e, const char *code, enum severity severity, const char *action, find_fn *find)
{
	struct finding f;

	finding_init(&f);
	bool found = find(e, &f);
	jw_close(&f.values, '}');
	if (found)
		write_finding(w, code, severity, action, &f);
	finding_release(&f);
	return found;
}

void explain_write(struct jwrite *w, const struct explained *e)
{
	unsigned scopes = scopes_of(e), found = 0;

	jw_open(w, '[');
	for (size_t i = 0; i < ARRAY_LEN(FINDINGS); i++)
		if (FINDINGS[i].scope & scopes)
			found += judge(w, e, FINDINGS[i].code, FINDINGS[i].severity, FINDINGS[i].action, FINDINGS[i].find);
	if (found == 0)
		(void)judge(w, e, "ok", INFO, NULL, nothing);
	jw_close(w, ']');
}
