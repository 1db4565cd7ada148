#include "lib/audit/chain.h"

static int digit_of(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool audit_hash_read(struct str hex, unsigned char out[SHA256_BYTES])
{
	if (hex.n != 2 * (size_t)SHA256_BYTES)
		return false;
	for (size_t i = 0; i < SHA256_BYTES; i++) {
		int high = digit_of(hex.p[2 * i]), low = digit_of(hex.p[2 * i + 1]);
		if (high < 0 || low < 0)
			return false;
		out[i] = (unsigned char)(high << 4 | low);
	}
	return true;
}

void audit_chain(struct audit_head *head, struct str prefix, const struct audit_row *row)
{
	struct str parts[4 + AUDIT_N_COLUMNS];
	char room[STR_U64_SIZE], given[AUDIT_N_COLUMNS];

	head->seq++;
	parts[0] = (struct str){(const char *)head->hash, sizeof(head->hash)};
	parts[1] = prefix;
	parts[2] = str_of_u64(room, (uint64_t)head->seq);
	parts[3] = (struct str){given, sizeof(given)};
	for (size_t i = 0; i < AUDIT_N_COLUMNS; i++) {
		given[i] = row->columns[i].p ? '1' : '0';
		parts[4 + i] = row->columns[i].p ? row->columns[i] : STR("");
	}
	digest_sha256_parts(parts, 4 + AUDIT_N_COLUMNS, head->hash);
}
