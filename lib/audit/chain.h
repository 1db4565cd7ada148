/* The chain of audit rows. The hash of a row is SHA-256 over, each part preceded by its length (digest_sha256_parts): the hash of the row before (32
 * zero bytes before the first), the prefix, the number of the row, a digit for each column (1: it has a value, 0: it is NULL), and the columns in
 * AUDIT_COLUMNS' order, as text. Any thread. */
#ifndef SLUICE_AUDIT_CHAIN_H
#define SLUICE_AUDIT_CHAIN_H

#include "lib/audit/audit.h"
#include "lib/base/digest.h"

struct audit_row {
	struct str columns[AUDIT_N_COLUMNS]; /* .p NULL: NULL */
};

struct audit_head {
	int64_t seq; /* 0: there is no row */
	unsigned char hash[SHA256_BYTES];
};

/* Reads 64 hexadecimal digits; false: it is something else. */
bool audit_hash_read(struct str hex, unsigned char out[SHA256_BYTES]) MUST_CHECK;
/* Moves the head to the row. */
void audit_chain(struct audit_head *head, struct str prefix, const struct audit_row *row);

#endif
