/* What all notifications share: the settings, the way out, and the table of channels. Made at start, then only read: any thread. */
#ifndef SLUICE_PROCESSORS_NOTIFICATION_NOTIFIER_H
#define SLUICE_PROCESSORS_NOTIFICATION_NOTIFIER_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/config/config.h"
#include "lib/fetch/fetch.h"
#include "lib/fetch/sign.h"
#include "lib/fetch/smtp.h"
#include "lib/log/log.h"
#include "lib/redis/rmux.h"
#include "processors/notification/trouble.h"

struct notifier {
	const struct config *config;
	struct log *log;
	struct fetcher *fetcher;
	struct rmux *redis;
	struct mailer *mailer;     /* NULL: no mail server is set */
	struct str from_name, from;
	struct sign_key key;
	bool has_key;
	const char *directory_file; /* NULL: the address book is in Redis */
	struct buf outbox;          /* the folder of a dry run; empty: messages are sent */
};

/* One message to one user. Strings live as long as the job. */
struct notice {
	struct arena *arena;
	struct str queue, job_id, org, user_id, subject, text, metadata; /* metadata: raw JSON, may be empty */
	const char *type;
	int64_t added_wall_ms;
	int64_t deadline_mono_ms;
	int cancel_fd;
};

#define PROVIDER_ID_SIZE 128

/* What came of one attempt at one target. */
struct attempt {
	enum trouble trouble; /* NONE: accepted */
	int code;             /* of SMTP or HTTP; 0: none */
	char enhanced[12];
	char provider_id[PROVIDER_ID_SIZE];
	int64_t delay_ms;     /* for LATER */
	int64_t ms;
};

struct channel {
	const char *name;      /* the payload's type */
	const char *provider;
	const char *field;     /* of the address book */
	const char *settings;  /* that it needs, for people */
	const char *extension; /* of its files in the outbox */
	const char *sample;    /* the address of a dry run's user who has none */
	const char *accepted;  /* the result's status */
	bool (*configured)(const struct notifier *n);
	/* May a message be sent once more whose outcome is unknown? sends: how often it was sent. */
	bool (*repeats)(const struct notifier *n, unsigned sends);
	/* The target of users that have none of their own; "" when everybody needs one. */
	const char *(*common)(const struct notifier *n);
	bool (*address_ok)(struct str address);
	/* Exactly what goes out. */
	void (*write)(const struct notifier *n, const struct notice *m, struct str to, struct buf *out);
	void (*send)(const struct notifier *n, const struct notice *m, struct str to, struct attempt *a);
};

/* NULL when there is none of this name. */
const struct channel *channel_find(struct str name);

/* The channels' own functions; sms.c, slack.c, webhook.c and email.c. */
void email_write(const struct notifier *n, const struct notice *m, struct str to, struct buf *out);
void email_send(const struct notifier *n, const struct notice *m, struct str to, struct attempt *a);
void slack_write(const struct notifier *n, const struct notice *m, struct str to, struct buf *out);
void slack_send(const struct notifier *n, const struct notice *m, struct str to, struct attempt *a);
void sms_write(const struct notifier *n, const struct notice *m, struct str to, struct buf *out);
void sms_send(const struct notifier *n, const struct notice *m, struct str to, struct attempt *a);
void webhook_write(const struct notifier *n, const struct notice *m, struct str to, struct buf *out);
void webhook_send(const struct notifier *n, const struct notice *m, struct str to, struct attempt *a);

/* When this attempt must have ended: the job's deadline, or the setting's. */
int64_t notifier_deadline(const struct notifier *n, const struct notice *m);
/* A POST of what `body` holds; *rs is the caller's to release, whatever the outcome. Fills the attempt from the status. */
void notifier_post(const struct notifier *n, const struct notice *m, struct fetch_request *rq, const struct buf *body,
		   struct fetch_response *rs, struct attempt *a);
/* An id that is the same whenever this message goes to this target: 32 hex digits. */
#define NOTICE_ID_SIZE 33
void notice_id(const struct notice *m, struct str to, char out[NOTICE_ID_SIZE]);

#endif
