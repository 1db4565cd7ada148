/* What listeners hear in common. All that ask for the same share a view: it hears the hub, and writes down each event once, however many they are.
 *
 *     struct view_member m = {.until = room for the ids of its queues};
 *     if (views_join(views, r, &wish, &from, &m, &err) == 0) {
 *             ...                         what happened up to m.until is to be read from Redis; what comes behind is kept,
 *             stream_follow(s, &m.seat);  and told from here on
 *             view_leave(&m);
 *     }
 *
 * A view goes with the last of its members. Any thread. */
#ifndef SLUICE_GATEWAY_REALTIME_VIEW_H
#define SLUICE_GATEWAY_REALTIME_VIEW_H

#include "gateway/http/stream.h"
#include "gateway/realtime/cursor.h"
#include "gateway/realtime/hub.h"

struct view;
struct views;

struct view_wish {
	const struct bq_queue *const *queues;
	size_t n;
	struct str job_id;     /* .p NULL: of all jobs */
	uint32_t types;        /* a bit for each enum event_type; 0: all */
	bool messages;         /* for a WebSocket */
	bool one_life;         /* of the job that is there when it has joined, not of another that gets its id */
};
/* Is the event one of those? */
bool view_wants(const struct view_wish *w, const struct event *e);

struct view_member {
	struct view *view;
	struct stream_seat seat;
	struct event_id *until; /* for each queue: what happened before it joined ends here */
};

struct views *views_new(struct hub *hub, struct err *err);
void views_free(struct views *all); /* they have no members */

/* `from` is where the listener left off; NULL: it begins now. The wish is copied. 0, or what hub_listen says: then nothing is to be undone. */
int views_join(struct views *all, const struct request *r, const struct view_wish *w, const struct cursor *from, struct view_member *m,
	       struct err *err) MUST_CHECK;
void view_leave(struct view_member *m);
/* Says how far the view has come, which goes on also with events that are not wanted, to a stream that follows it. */
void view_say_cursor(struct view_member *m, struct stream *s);

#endif
