#include "lib/redis/rmux.h"

#include <openssl/crypto.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/panic.h"
#include "lib/redis/rmux_internal.h"

#define DEFAULT_CONNECT_TIMEOUT_MS 2000
#define DEFAULT_IO_TIMEOUT_MS 5000
#define DEFAULT_MAX_PENDING_BYTES ((size_t)64 << 20)

static void set_options(struct rmux *m, const struct rmux_options *o)
{
	m->o = *o;
	m->o.client_name = NULL; /* the copy in m->client_name counts */
	if (m->o.connect_timeout_ms <= 0)
		m->o.connect_timeout_ms = DEFAULT_CONNECT_TIMEOUT_MS;
	if (m->o.io_timeout_ms <= 0)
		m->o.io_timeout_ms = DEFAULT_IO_TIMEOUT_MS;
	if (m->o.max_pending_bytes == 0)
		m->o.max_pending_bytes = DEFAULT_MAX_PENDING_BYTES;
	lock_init(&m->mu);
	cond_init(&m->changed);
	cond_init(&m->returned);
	m->expiry = NEVER;
	m->wake_fd = -1;
}

static int allocate_parts(struct rmux *m, const struct rmux_options *o, struct err *err)
{
	m->in = malloc(RPARSE_PIECE_BYTES);
	m->client_name = o->client_name ? strdup(o->client_name) : NULL;
	if (!m->in || (o->client_name && !m->client_name))
		return err_set(err, ERR_NOMEM, "Redis multiplexer: %s", err_sentence(ERR_NOMEM));
	m->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (m->wake_fd < 0)
		return err_errno(err, "eventfd");
	m->transport = transport_new(&o->addr, err);
	return m->transport ? 0 : ERR_INVALID;
}

struct rmux *rmux_new(const struct rmux_options *o, struct err *err)
{
	struct rmux *m = calloc(1, sizeof(*m));
	if (!m) {
		err_set(err, ERR_NOMEM, "Redis multiplexer: %s", err_sentence(ERR_NOMEM));
		return NULL;
	}
	set_options(m, o);
	if (allocate_parts(m, o, err) < 0) {
		rmux_free(m);
		return NULL;
	}
	return m;
}

void rmux_free(struct rmux *m)
{
	if (!m)
		return;
	rmux_stop(m, 0);
	transport_free(m->transport);
	flights_release(&m->flights);
	rcmd_release(&m->load);
	if (m->wake_fd >= 0)
		close(m->wake_fd);
	cond_release(&m->changed);
	cond_release(&m->returned);
	lock_release(&m->mu);
	OPENSSL_cleanse(m->o.addr.password, sizeof(m->o.addr.password));
	free(m->scripts);
	free(m->client_name);
	free(m->in);
	free(m);
}

int rmux_add_script(struct rmux *m, const struct rscript *s)
{
	bug_on(m->io.running);
	const struct rscript **more = realloc(m->scripts, (m->n_scripts + 1) * sizeof(struct rscript *));
	if (!more)
		return ERR_NOMEM;
	m->scripts = more;
	m->scripts[m->n_scripts++] = s;
	return 0;
}

int rmux_start(struct rmux *m, struct err *err)
{
	rhello_add_scripts(&m->load, m->scripts, m->n_scripts);
	m->down_since = clock_mono_ms();
	atomic_store(&m->last_reply_at, m->down_since);
	if (m->load.wire.failed || thread_start(&m->io, "redis-io", io_main, m) < 0)
		return err_set(err, ERR_NOMEM, "Redis multiplexer: %s", err_sentence(ERR_NOMEM));
	return 0;
}

void rmux_stop(struct rmux *m, int64_t deadline_mono_ms)
{
	lock_take(&m->mu);
	bool gone = m->gone;
	m->stopping = true;
	m->stop_deadline = deadline_mono_ms;
	cond_broadcast(&m->changed);
	lock_give(&m->mu);
	if (gone)
		return;
	if (m->io.running) {
		rmux_wake(m);
		thread_join(&m->io);
	} else {
		io_end_all(m);
	}
}

bool rmux_is_up(const struct rmux *m)
{
	return atomic_load(&m->state) == LINK_UP;
}

int rmux_wait_up(struct rmux *m, int64_t deadline_mono_ms)
{
	lock_take(&m->mu);
	bool in_time = true;
	while (!rmux_is_up(m) && !m->stopping && in_time)
		in_time = cond_wait_until(&m->changed, &m->mu, deadline_mono_ms);
	lock_give(&m->mu);
	return rmux_is_up(m) ? 0 : ERR_TIMEOUT;
}

void rmux_stats(const struct rmux *m, struct rmux_stats *out)
{
	*out = (struct rmux_stats){
		.commands = atomic_load_explicit(&m->commands, memory_order_relaxed),
		.calls = atomic_load_explicit(&m->calls, memory_order_relaxed),
		.reconnects = atomic_load_explicit(&m->reconnects, memory_order_relaxed),
		.unknown_outcomes = atomic_load_explicit(&m->unknown_outcomes, memory_order_relaxed),
		.bytes_out = atomic_load_explicit(&m->bytes_out, memory_order_relaxed),
		.bytes_in = atomic_load_explicit(&m->bytes_in, memory_order_relaxed),
		.last_reply_age_ms = clock_mono_ms() - atomic_load_explicit(&m->last_reply_at, memory_order_relaxed),
	};
}
