/* The notification processor: reads the settings once, then a job is a task (task.h). */
#include "lib/base/embed.h"
#include "lib/base/fs.h"
#include "processors/notification/address.h"
#include "processors/notification/task.h"

#define DRY_RUN_SENDER "sluice@example.invalid"
#define DIRECTORY_IN_REDIS "redis"
#define DIRECTORY_IN_FILE STR("file:")

EMBED_FILE(notification_payload_schema, "processors/notification/payload.schema.json");

extern const struct processor notification_processor;

static struct str payload_schema(void)
{
	return EMBEDDED(notification_payload_schema);
}

/* Puts the setting's name before what is wrong with it. */
static int name_setting(struct err *err, const char *name, const struct err *why)
{
	return err_set(err, why->code, "%s: %s", name, why->text);
}

static int read_directory(struct notifier *n, struct err *err)
{
	struct str where = str_from(n->config->notify_directory);
	if (str_is(where, DIRECTORY_IN_REDIS))
		return 0;
	if (!str_starts(where, DIRECTORY_IN_FILE) || where.n == DIRECTORY_IN_FILE.n)
		return err_set(err, ERR_INVALID, "SLUICE_NOTIFY_DIRECTORY is neither redis nor file:PATH");
	n->directory_file = where.p + DIRECTORY_IN_FILE.n;
	return 0;
}

static int read_sender(struct notifier *n, struct err *err)
{
	const struct config *c = n->config;
	struct err why = {0};
	const char *from = !*c->smtp_from && c->notify_dry_run ? DRY_RUN_SENDER : c->smtp_from;
	if (!*from)
		return *c->smtp_url ? err_set(err, ERR_INVALID, "SLUICE_SMTP_URL needs SLUICE_SMTP_FROM") : 0;
	int rc = address_read_sender(str_from(from), &n->from_name, &n->from, &why);
	return rc < 0 ? name_setting(err, "SLUICE_SMTP_FROM", &why) : 0;
}

static int make_mailer(struct notifier *n, struct err *err)
{
	const struct config *c = n->config;
	struct err why = {0};
	const struct mailer_options o = {
		.url = c->smtp_url,
		.user = c->smtp_user,
		.password = c->smtp_password,
		.tls = (enum smtp_tls)c->smtp_starttls,
		.ca_file = c->fetch_ca_file,
		.helo = c->smtp_helo,
	};
	if (!*c->smtp_url)
		return 0;
	n->mailer = mailer_new(&o, &why);
	if (!n->mailer)
		return name_setting(err, "SLUICE_SMTP_URL", &why);
	if (*c->smtp_user && o.tls != SMTP_TLS_REQUIRE && !str_starts(str_from(c->smtp_url), STR("smtps://")))
		LOG(n->log, LOG_WARN, "smtp_password_in_clear", log_strz("setting", "SLUICE_SMTP_STARTTLS"));
	return 0;
}

static int check_url(const char *name, const char *url, struct err *err)
{
	struct err why = {0};
	return *url && fetch_url_check(str_from(url), &why) < 0 ? name_setting(err, name, &why) : 0;
}

static int read_webhooks(struct notifier *n, struct err *err)
{
	const struct config *c = n->config;
	const char *const urls[][2] = {
		{"SLUICE_SLACK_WEBHOOK_URL", c->slack_webhook_url},
		{"SLUICE_SMS_API_BASE", c->sms_api_base},
		{"SLUICE_PUSH_WEBHOOK_URL", c->push_webhook_url},
		{"SLUICE_NOTIFY_WEBHOOK_URL", c->notify_webhook_url},
	};
	struct err why = {0};
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(urls); i++)
		rc = check_url(urls[i][0], urls[i][1], err);
	if (rc < 0 || !*c->notify_webhook_secret)
		return rc;
	n->has_key = true;
	rc = sign_key_parse(&n->key, str_from(c->notify_webhook_secret), &why);
	return rc < 0 ? name_setting(err, "SLUICE_NOTIFY_WEBHOOK_SECRET", &why) : 0;
}

static int make_outbox(struct notifier *n, struct err *err)
{
	if (!n->config->notify_dry_run)
		return 0;
	buf_addf(&n->outbox, "%s/outbox", n->config->data_dir);
	return n->outbox.failed ? err_set(err, ERR_NOMEM, "no memory for the outbox") : fs_make_dirs(n->outbox.p, 0700, err);
}

static void stop(void *state)
{
	struct notifier *n = state;
	mailer_free(n->mailer);
	sign_key_wipe(&n->key);
	buf_release(&n->outbox);
	free(n);
}

static int start(const struct processor_env *env, void **state, struct err *err)
{
	static int (*const parts[])(struct notifier *, struct err *) = {read_directory, read_sender, make_mailer, read_webhooks, make_outbox};
	struct notifier *n = calloc(1, sizeof(*n));
	if (!n)
		return err_set(err, ERR_NOMEM, "no memory for the notification processor");
	n->config = env->config;
	n->log = env->log;
	n->fetcher = env->fetcher;
	n->redis = env->redis;
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(parts); i++)
		rc = parts[i](n, err);
	if (rc < 0) {
		stop(n);
		return rc;
	}
	*state = n;
	return 0;
}

static enum outcome run(void *state, struct job_context *ctx)
{
	struct task t = {.n = state, .ctx = ctx};
	enum outcome outcome = task_run(&t);
	task_release(&t);
	return outcome;
}

const struct processor notification_processor = {
	.name = "notification",
	.log_name = "NotificationProcessor",
	.payload_schema = payload_schema,
	.start = start,
	.stop = stop,
	.run = run,
};
