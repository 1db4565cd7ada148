#include "gateway/data_loss.h"

#include <stdlib.h>

#include "gateway/redis_facts.h"

struct data_loss {
	const struct declarations *queues;
	char run_id[REDIS_RUN_ID_SIZE]; /* of the process that was asked last; "": none yet */
	size_t asked;                   /* queues, the last time */
	int64_t given_out[DECLARATIONS_MAX]; /* ids of each declared queue */
};

struct data_loss *data_loss_new(const struct declarations *queues)
{
	struct data_loss *l = calloc(1, sizeof(*l));

	if (l)
		l->queues = queues;
	return l;
}

void data_loss_free(struct data_loss *l)
{
	free(l);
}

void data_loss_ask(struct data_loss *l, struct rcmd *cmd)
{
	l->asked = l->queues->count;
	for (size_t i = 0; i < l->asked; i++) {
		rcmd_begin(cmd, 2);
		rcmd_argz(cmd, "GET");
		rcmd_arg(cmd, l->queues->items[i]->queue.keys[BQ_KEY_ID]);
	}
}

bool data_loss_read(struct data_loss *l, const char *run_id, const struct rreplies *replies, size_t first, struct err *what)
{
	bool other = l->run_id[0] && strcmp(l->run_id, run_id) != 0, lost = false;

	for (size_t i = 0; i < l->asked; i++) {
		int64_t now = 0, before = l->given_out[i];
		if (!rreply_int(replies->items[first + i], &now))
			now = 0;
		if (other && now < before && !lost) {
			lost = true;
			err_set(what, ERR_NOT_FOUND,
				"Redis was started anew without some of its data: queue %.*s had given out %lld ids and now %lld; jobs are "
				"lost, and their ids are given out again",
				STR_ARG(l->queues->items[i]->name), (long long)before, (long long)now);
		}
		l->given_out[i] = now;
	}
	snprintf(l->run_id, sizeof(l->run_id), "%s", run_id);
	return lost;
}
