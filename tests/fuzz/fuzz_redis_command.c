/* Commands for Redis: the input is cut at its newlines into arguments, an empty one begins the next command. What goes to the wire reads back
 * as the same arguments, whatever is in them. */
#include <stdint.h>

#include "lib/base/panic.h"
#include "lib/redis/rmux.h"
#include "lib/redis/rparse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The next command's arguments; false: there is none. */
static bool next_command(struct str *input, struct str *args, size_t *n)
{
	*n = 0;
	while (input->p) {
		struct str arg = str_cut(input, '\n');
		if (!arg.n && *n)
			return true;
		args[(*n)++] = arg;
	}
	return *n > 0;
}

static void expect(struct rparse *p, const struct str *args, size_t n)
{
	redisReply *r = NULL;
	bug_on(rparse_next(p, &r, NULL) != 1 || r->type != REDIS_REPLY_ARRAY || r->elements != n);
	for (size_t i = 0; i < n; i++)
		bug_on(!str_eq((struct str){r->element[i]->str, r->element[i]->len}, args[i]));
	rreply_free(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rcmd cmd = RCMD_INIT;
	struct str args[257], input = {(const char *)data, size};
	unsigned commands = 0;
	size_t n;
	if (size == 0 || size > 256)
		return 0;
	for (; next_command(&input, args, &n); commands++) {
		rcmd_begin(&cmd, n);
		for (size_t i = 0; i < n; i++)
			rcmd_arg(&cmd, args[i]);
	}
	bug_on(cmd.wire.failed || cmd.commands != commands || cmd.wire.n > RPARSE_PIECE_BYTES);
	struct rparse p;
	bug_on(rparse_init(&p) < 0 || rparse_feed(&p, cmd.wire.p, cmd.wire.n, NULL) < 0);
	input = (struct str){(const char *)data, size};
	while (next_command(&input, args, &n))
		expect(&p, args, n);
	redisReply *more = NULL;
	bug_on(rparse_next(&p, &more, NULL) != 0);
	rparse_release(&p);
	rcmd_release(&cmd);
	return 0;
}
