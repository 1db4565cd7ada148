#include "gateway/redis_facts.h"

#include <stdio.h>

static const char *const sections[REDIS_FACTS_COMMANDS] = {"server", "memory", "persistence", "replication"};

void redis_facts_ask(struct rcmd *cmd)
{
	for (size_t i = 0; i < REDIS_FACTS_COMMANDS; i++) {
		rcmd_begin(cmd, 2);
		rcmd_argz(cmd, "INFO");
		rcmd_argz(cmd, sections[i]);
	}
}

/* The value of a line "name:value"; .p NULL when there is none. */
static struct str info_field(struct str text, const char *name)
{
	while (text.p) {
		struct str line = str_cut(&text, '\n');
		if (line.n && line.p[line.n - 1] == '\r')
			line.n--;
		struct str field = str_cut(&line, ':');
		if (line.p && str_is(field, name))
			return line;
	}
	return STR_NONE;
}

static int missing(const char *name, struct err *err)
{
	return err_set(err, ERR_PROTOCOL, "Redis' INFO has no %s", name);
}

static int read_number(struct str text, const char *name, int64_t *out, struct err *err)
{
	struct str value = info_field(text, name);
	return value.p && str_to_i64(value, out) == 0 ? 0 : missing(name, err);
}

static int read_text(struct str text, const char *name, char *out, size_t size, struct err *err)
{
	struct str value = info_field(text, name);
	if (!value.p || value.n >= size)
		return missing(name, err);
	snprintf(out, size, "%.*s", STR_ARG(value));
	return 0;
}

/* "7.0.15" as 70015. */
static int64_t version_number(struct str text)
{
	int64_t number = 0;
	for (int i = 0; i < 3; i++) {
		uint64_t part = 0;
		struct str digits = text.p ? str_cut(&text, '.') : STR_NONE;
		if (digits.n && (str_to_u64(digits, &part) < 0 || part > 99))
			part = 0;
		number = number * 100 + (int64_t)part;
	}
	return number;
}

int redis_facts_read(struct redis_facts *out, const struct rreplies *replies, size_t first, struct err *err)
{
	struct str text[REDIS_FACTS_COMMANDS];
	struct redis_facts f = {0};
	int64_t aof = 0;
	for (size_t i = 0; i < REDIS_FACTS_COMMANDS; i++) {
		const redisReply *reply = replies->items[first + i];
		int rc = rreply_error(reply, err);
		if (rc < 0)
			return rc;
		text[i] = rreply_str(reply);
	}
	int rc = read_text(text[0], "redis_version", f.version_text, sizeof(f.version_text), err);
	if (rc == 0)
		rc = read_text(text[0], "run_id", f.run_id, sizeof(f.run_id), err);
	if (rc == 0)
		rc = read_number(text[1], "used_memory", &f.used_bytes, err);
	if (rc == 0)
		rc = read_number(text[1], "maxmemory", &f.max_bytes, err);
	if (rc == 0)
		rc = read_text(text[1], "maxmemory_policy", f.policy, sizeof(f.policy), err);
	if (rc == 0)
		rc = read_number(text[2], "aof_enabled", &aof, err);
	if (rc < 0)
		return rc;
	f.version = version_number(str_from(f.version_text));
	f.append_only = aof != 0;
	f.disk_fails = str_is(info_field(text[2], "aof_last_write_status"), "err");
	f.replica = str_is(info_field(text[3], "role"), "slave");
	*out = f;
	return 0;
}

int redis_facts_check(const struct redis_facts *f, struct err *err)
{
	if (f->version < REDIS_LEAST_VERSION)
		return err_set(err, ERR_WRONG_STATE, "Redis %s is too old: 6.2 or newer is needed", f->version_text);
	if (strcmp(f->policy, "noeviction") != 0)
		return err_set(err, ERR_WRONG_STATE,
			       "Redis' maxmemory-policy is %s, which throws jobs away when memory is short: set it to noeviction", f->policy);
	if (f->replica)
		return err_set(err, ERR_WRONG_STATE, "this Redis is a replica, which takes no jobs: connect to its master");
	return 0;
}
