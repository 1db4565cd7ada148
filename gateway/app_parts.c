#include <unistd.h>

#include "gateway/admission.h"
#include "gateway/app_base.h"
#include "gateway/app_state.h"
#include "gateway/counts.h"
#include "gateway/login_codes.h"
#include "gateway/observe.h"
#include "gateway/realtime/lessees.h"
#include "gateway/realtime/view.h"
#include "gateway/settings.h"
#include "gateway/ui/ui.h"
#include "gateway/tasks.h"
#include "gateway/version.h"
#include "gateway/watch.h"
#include "lib/base/clock.h"
#include "lib/docstore/docstore.h"
#include "lib/metrics/metrics.h"

#define FIRST_CONNECT_MS 1000 /* how long listening waits for Redis; it goes on without */

/* ---- Redis ------------------------------------------------------------------------------------------------------------------------ */

static int child_start(struct app *a, struct err *err)
{
	const struct config *cfg = a->cfg;
	if (!settings_redis_embedded(cfg))
		return settings_redis_reach(cfg, a->services.log, &a->redis, &a->sentinel, err);
	struct rchild_options o = {
		.data_dir = cfg->data_dir,
		.listen = *cfg->redis_listen ? cfg->redis_listen : NULL,
		.password = *cfg->redis_password ? cfg->redis_password : NULL,
		.maxmemory_bytes = (uint64_t)cfg->redis_maxmemory_bytes,
		.log = a->services.log,
	};
	a->redis_child = rchild_start(&o, err);
	if (!a->redis_child)
		return ERR_UNAVAILABLE;
	rchild_addr(a->redis_child, &a->redis);
	return 0;
}

static void child_stop(struct app *a)
{
	rchild_stop(a->redis_child);
	rsentinel_stop(a->sentinel);
}

/* On the multiplexer's I/O thread. */
static void redis_changed(void *arg, bool up, bool run_id_changed)
{
	struct app *a = arg;
	(void)run_id_changed; /* scripts are loaded at every connect; locks are looked after by the runtime in either case */
	metrics_set(a->services.metrics, M_REDIS_UP, up, NULL);
	runtime_redis_state(a->services.runtime, up);
}

/* Replies that came together: their log lines are written together, and then the answers are sent. */
static void replies_came(void *arg, bool begins)
{
	struct app *a = arg;
	if (begins) {
		log_batch_begin(a->services.log);
		server_answers_begin();
	} else {
		log_batch_end(a->services.log);
		server_answers_end();
	}
}

static int mux_start(struct app *a, struct err *err)
{
	struct rmux_options o = {
		.addr = a->redis,
		.client_name = "sluice",
		.connect_timeout_ms = a->cfg->redis_connect_timeout_ms,
		.io_timeout_ms = a->cfg->redis_timeout_ms,
		.log = a->services.log,
		.on_state = redis_changed,
		.on_state_arg = a,
		.on_batch = replies_came,
		.on_batch_arg = a,
	};
	a->mux = rmux_new(&o, err);
	if (!a->mux)
		return ERR_NOMEM;
	a->services.bq = bq_new(a->mux, err);
	if (a->services.bq)
		return 0;
	rmux_free(a->mux);
	return ERR_NOMEM;
}

static void mux_stop(struct app *a)
{
	bq_free(a->services.bq);
	rmux_free(a->mux);
}

static int connection_start(struct app *a, struct err *err)
{
	int rc = rmux_start(a->mux, err);
	if (rc == 0 && rmux_wait_up(a->mux, clock_mono_ms() + FIRST_CONNECT_MS) < 0)
		LOG(a->services.log, LOG_WARN, "redis_not_up_yet");
	return rc;
}

static void connection_stop(struct app *a)
{
	rmux_stop(a->mux, clock_mono_ms() + a->cfg->redis_timeout_ms);
}

static int admission_begin(struct app *a, struct err *err)
{
	a->services.admission = admission_new(a->mux, &a->queues, a->services.metrics, a->services.log, err);
	if (!a->services.admission)
		return ERR_NOMEM;
	int rc = admission_start(a->services.admission, err);
	if (rc < 0)
		admission_free(a->services.admission);
	return rc;
}

static void admission_end(struct app *a)
{
	admission_stop(a->services.admission);
	admission_free(a->services.admission);
}

/* ---- jobs ------------------------------------------------------------------------------------------------------------------------- */

static int counts_make(struct app *a, struct err *err)
{
	a->services.counts = counts_new(a->services.bq);
	return a->services.counts ? 0 : err_set(err, ERR_NOMEM, "out of memory");
}

static void counts_unmake(struct app *a)
{
	counts_free(a->services.counts);
}

static int hub_make(struct app *a, struct err *err)
{
	a->services.hub = hub_new(a->services.bq, &a->redis, a->services.log, err);
	return a->services.hub ? 0 : ERR_NOMEM;
}

static void hub_unmake(struct app *a)
{
	hub_free(a->services.hub);
}

static int views_make(struct app *a, struct err *err)
{
	a->services.views = views_new(a->services.hub, err);
	return a->services.views ? 0 : ERR_NOMEM;
}

static void views_unmake(struct app *a)
{
	views_free(a->services.views);
}

static int hub_begin(struct app *a, struct err *err)
{
	return hub_start(a->services.hub, err);
}

static void hub_end(struct app *a)
{
	hub_stop(a->services.hub);
}

static int leases_make(struct app *a, struct err *err)
{
	a->services.leases = lease_hub_new(a->services.bq, &a->redis, a->services.log, err);
	return a->services.leases ? 0 : ERR_NOMEM;
}

static void leases_unmake(struct app *a)
{
	lease_hub_free(a->services.leases);
}

static int lessees_make(struct app *a, struct err *err)
{
	a->services.lessees = lessees_new();
	return a->services.lessees ? 0 : app_no_memory(err);
}

static void lessees_unmake(struct app *a)
{
	lessees_free(a->services.lessees);
}

static int leases_begin(struct app *a, struct err *err)
{
	return lease_hub_start(a->services.leases, err);
}

static void leases_end(struct app *a)
{
	lease_hub_stop(a->services.leases);
}

static int watch_begin(struct app *a, struct err *err)
{
	struct watch_options o = {
		.bq = a->services.bq,
		.queues = a->services.queues,
		.prefix = a->services.prefix,
		.log = a->services.log,
		.runs_jobs = a->cfg->role != CONFIG_ROLE_API,
	};
	a->services.watch = watch_new(&o, err);
	if (!a->services.watch)
		return ERR_NOMEM;
	int rc = watch_start(a->services.watch, err);
	if (rc < 0)
		watch_free(a->services.watch);
	return rc;
}

static void watch_end(struct app *a)
{
	watch_stop(a->services.watch);
	watch_free(a->services.watch);
}

static int tasks_begin(struct app *a, struct err *err)
{
	a->services.tasks = tasks_new(a->services.bq, str_from(a->services.prefix), a->services.log, err);
	if (!a->services.tasks)
		return ERR_NOMEM;
	int rc = tasks_start(a->services.tasks, err);
	if (rc < 0)
		tasks_free(a->services.tasks);
	return rc;
}

static void tasks_end(struct app *a)
{
	tasks_stop(a->services.tasks);
	tasks_free(a->services.tasks);
}

static int runtime_make(struct app *a, struct err *err)
{
	int rc = settings_program_dir(&a->helper_path, err);
	buf_addz(&a->helper_path, "sluice-helper");
	if (rc == 0 && a->helper_path.failed)
		rc = app_no_memory(err);
	struct runtime_options o = {
		.bq = a->services.bq,
		.redis = &a->redis,
		.queues = &a->queues,
		.tallies = a->services.tallies,
		.env = {.log = a->services.log,
			.metrics = a->services.metrics,
			.documents = a->services.documents,
			.fetcher = a->fetcher,
			.redis = a->mux,
			.config = a->cfg,
			.helper_path = a->helper_path.p},
		.run_jobs = a->cfg->role != CONFIG_ROLE_API,
		.redis_timeout_ms = a->cfg->redis_timeout_ms,
	};
	if (rc == 0 && !(a->services.runtime = runtime_new(&o, err)))
		rc = ERR_NOMEM;
	if (rc < 0)
		buf_release(&a->helper_path);
	return rc;
}

static void runtime_unmake(struct app *a)
{
	runtime_free(a->services.runtime);
	buf_release(&a->helper_path);
}

static int runtime_begin(struct app *a, struct err *err)
{
	return runtime_start(a->services.runtime, err);
}

static void runtime_end(struct app *a)
{
	runtime_stop(a->services.runtime);
}

/* ---- HTTP --------------------------------------------------------------------------------------------------------------------------- */

static int redis_up(void *arg, struct err *err)
{
	const struct app *a = arg;
	return rmux_is_up(a->mux) ? 0 : err_set(err, ERR_UNAVAILABLE, "Redis does not answer");
}

static int redis_settings(void *arg, struct err *err)
{
	const struct app *a = arg;
	return admission_settings(a->services.admission, err);
}

static int redis_data(void *arg, struct err *err)
{
	const struct app *a = arg;
	return admission_data(a->services.admission, err);
}

static int redis_disk(void *arg, struct err *err)
{
	const struct app *a = arg;
	return admission_disk(a->services.admission, err);
}

static int documents_readable(void *arg, struct err *err)
{
	const struct app *a = arg;
	return docstore_check(a->services.documents, err);
}

static int logins_make(struct app *a, struct err *err)
{
	a->services.logins = login_codes_new();
	return a->services.logins ? 0 : app_no_memory(err);
}

static void logins_unmake(struct app *a)
{
	login_codes_free(a->services.logins);
}

/* In development, the address that signs a browser in as administrator; once, and soon. */
static void add_login_link(struct app *a, struct buf *out)
{
	const struct principal who = {.sub = "developer", .org = AUTH_ORG_DEFAULT, .roles = ROLE_ADMIN};
	char code[LOGIN_CODE_SIZE];
	if (!a->cfg->dev_login || a->cfg->role == CONFIG_ROLE_WORKER)
		return;
	login_codes_make(a->services.logins, &who, clock_mono_ms(), code);
	buf_addf(out, "%s/login?code=%s", a->url.p, code);
}

static void say_where(struct app *a)
{
	struct buf link = BUF_INIT;
	struct log *direct = log_new(STDOUT_FILENO, (enum log_level)a->cfg->log_level, a->log_format);
	static const char *const roles[] = {[CONFIG_ROLE_API] = "api", [CONFIG_ROLE_WORKER] = "worker", [CONFIG_ROLE_ALL] = "all"};
	add_login_link(a, &link);
	LOG(direct, LOG_INFO, "listening", log_str("url", buf_str(&a->url)), log_strz("version", SLUICE_VERSION),
	    log_strz("role", roles[a->cfg->role]), log_int("pid", getpid()), log_str("login", link.n ? buf_str(&link) : STR_NONE));
	log_free(direct);
	buf_release(&link);
	log_let_go(a->services.log);
}

static int http_start(struct app *a, struct err *err)
{
	health_add(&a->health, "redis", redis_up, a);
	health_add(&a->health, "redis-settings", redis_settings, a);
	health_add(&a->health, "redis-data", redis_data, a);
	health_add(&a->health, "redis-disk", redis_disk, a);
	health_add(&a->health, "documents", documents_readable, a);
	reload_shown_from_start(a);
	health_add_note(&a->health, "reload", reload_note, &a->reload);
	if (a->services.pg)
		health_add_note(&a->health, "records", app_records_note, a);
	struct http_deps deps = {
		.app = a,
		.config = a->cfg,
		.log = a->services.log,
		.metrics = a->services.metrics,
		.auth = a->services.auth,
		.routes = &ROUTES,
		.schema = schemas_find,
		.schemas = a->schemas,
		.observe = observe,
		.page = ui_serve,
		.health = &a->health,
		.audit = a->services.audit,
	};
	a->server = server_start(&deps, err);
	if (!a->server)
		return ERR_IO;
	buf_addf(&a->url, "http://%s:%u", a->cfg->host, server_port(a->server));
	say_where(a);
	return 0;
}

static void http_stop(struct app *a)
{
	server_stop(a->server);
	buf_release(&a->url);
}

/* ---- the list -------------------------------------------------------------------------------------------------------------------- */

static int reload_start(struct app *a, struct err *err UNUSED)
{
	reload_init(&a->reload);
	return 0;
}

static void reload_stop(struct app *a)
{
	reload_release(&a->reload);
}

/* What must exist before something is connected or started stands above it: the multiplexer tells the runtime of its state, so the runtime is
 * made before the connection starts and freed after it has stopped. */
const struct app_part APP_PARTS[] = {
	{"log", log_start, log_stop},
	{"reload", reload_start, reload_stop},
	{"metrics", metrics_start, metrics_stop},
	{"keys", keys_start, keys_stop},
	{"queues", queues_start, queues_stop},
	{"schemas", schemas_start, schemas_stop},
	{"documents", documents_start, documents_stop},
	{"outbound requests", fetch_start, fetch_stop},
	{"redis", child_start, child_stop},
	{"postgresql", app_store_start, app_store_stop},
	{"postgresql connection", app_pg_begin, app_pg_end},
	{"redis scripts", mux_start, mux_stop},
	{"records", app_records_make, app_records_unmake},
	{"counts", counts_make, counts_unmake},
	{"events", hub_make, hub_unmake},
	{"views", views_make, views_unmake},
	{"leases", leases_make, leases_unmake},
	{"lessees", lessees_make, lessees_unmake},
	{"runtime", runtime_make, runtime_unmake},
	{"redis connection", connection_start, connection_stop},
	{"admission", admission_begin, admission_end},
	{"event reader", hub_begin, hub_end},
	{"lease hub", leases_begin, leases_end},
	{"watch", watch_begin, watch_end},
	{"tasks", tasks_begin, tasks_end},
	{"record writer", app_records_begin, app_records_end},
	{"audit", app_audit_begin, app_audit_end},
	{"processors", runtime_begin, runtime_end},
	{"login links", logins_make, logins_unmake},
	{"http", http_start, http_stop},
};
const size_t APP_PARTS_COUNT = ARRAY_LEN(APP_PARTS);
