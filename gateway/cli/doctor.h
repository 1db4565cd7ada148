/* The doctor's checks. Each looks at one thing, changes nothing, and leaves one finding or several. Private to gateway/cli. */
#ifndef SLUICE_GATEWAY_CLI_DOCTOR_H
#define SLUICE_GATEWAY_CLI_DOCTOR_H

#include <stdbool.h>
#include <stddef.h>

#include "gateway/cli/cli.h"
#include "gateway/redis_facts.h"
#include "lib/base/attr.h"
#include "lib/config/config.h"

enum doctor_level { DOCTOR_OK, DOCTOR_WARN, DOCTOR_FAIL };

#define DOCTOR_TEXT_SIZE 320
#define DOCTOR_MAX_FINDINGS 32

struct doctor_finding {
	const char *check;
	enum doctor_level level;
	char text[DOCTOR_TEXT_SIZE];
	const char *advice; /* static; NULL when there is nothing to do */
};

struct doctor {
	const struct config *cfg;
	struct doctor_finding findings[DOCTOR_MAX_FINDINGS];
	size_t n;
	const char *checking; /* the check that is running */
};

void doctor_say(struct doctor *d, enum doctor_level level, const char *advice, const char *fmt, ...) PRINTF_LIKE(4, 5);

/* Is there a program of this name in PATH? */
bool doctor_in_path(const char *program);

/* Looks through every queue in Redis, and with `mend` sets right what is wrong. CLI_FAILED when something is and was not mended. */
enum cli_exit doctor_look_through_queues(const struct config *cfg, bool mend, bool json);

void doctor_queues(struct doctor *d);
void doctor_keys(struct doctor *d);
void doctor_redis(struct doctor *d);
void doctor_records(struct doctor *d);
void doctor_documents(struct doctor *d);
void doctor_tools(struct doctor *d);
void doctor_sandbox(struct doctor *d);
void doctor_rules(struct doctor *d);
void doctor_descriptors(struct doctor *d);
void doctor_clock(struct doctor *d);
void doctor_gateway(struct doctor *d);

#endif
