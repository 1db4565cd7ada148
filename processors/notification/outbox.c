#include "processors/notification/outbox.h"

#include "lib/base/fs.h"

void outbox_put(const struct notifier *n, const struct channel *c, const struct notice *m, struct str to, struct attempt *a)
{
	char id[NOTICE_ID_SIZE];
	struct buf path = BUF_INIT, text = BUF_INIT;
	struct err err = {0};
	notice_id(m, to, id);
	snprintf(a->provider_id, sizeof(a->provider_id), "%s-%s.%s", c->name, id, c->extension);
	buf_adds(&path, buf_str(&n->outbox));
	buf_addf(&path, "/%s", a->provider_id);
	c->write(n, m, to, &text);
	if (path.failed || text.failed) {
		a->trouble = TROUBLE_NO_MEMORY;
	} else if (fs_write_file(path.p, buf_str(&text), 0600, &err) < 0) {
		a->trouble = TROUBLE_OUTBOX_UNWRITABLE;
		LOG(n->log, LOG_WARN, "outbox_unwritable", log_err(&err));
	}
	buf_release(&path);
	buf_release(&text);
}
