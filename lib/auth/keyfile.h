/* JWT_KEYS_FILE: [{kid, alg, key|keyFile, iss?, aud?, roles:[…], orgs:[…]|"*"}]. keyFile is relative to the file's own folder.
 *
 *     struct keyfile f = {0};
 *     if (keyfile_open(&f, options, &err) == 0)     reads and scans; f.count entries
 *         rc = keyfile_read(&f, keys, &err);               appends to keys->items, which has room for them
 *     keyfile_close(&f);
 *
 * Every entry is read strictly: an unknown field, a duplicate kid, a role that does not exist or one that sees every org under a key that is
 * bound to some is an error that names the entry. */
#ifndef SLUICE_AUTH_KEYFILE_H
#define SLUICE_AUTH_KEYFILE_H

#include "lib/auth/key.h"
#include "lib/json/jdoc.h"

struct keyfile {
	const struct auth_options *options;
	struct buf text;
	struct arena scratch;
	struct jdoc doc;
	size_t count;
};

int keyfile_open(struct keyfile *f, const struct auth_options *o, struct err *err) MUST_CHECK;
int keyfile_read(struct keyfile *f, struct keys *k, struct err *err) MUST_CHECK;
void keyfile_close(struct keyfile *f);

#endif
