/* The embedded PostgreSQL's inside: pgchild_setup.c decides on paths, programs and the user, pgchild.c makes the data and runs the server. */
#ifndef SLUICE_PG_PGCHILD_INTERNAL_H
#define SLUICE_PG_PGCHILD_INTERNAL_H

#include "lib/child/exec.h"
#include "lib/child/place.h"
#include "lib/pg/pgchild.h"

struct pgchild_paths {
	char folder[CHILD_FOLDER_MAX]; /* DATA_DIR/postgres */
	char data[PATH_MAX];           /* made by initdb under the name below, then renamed: it is there whole or not at all */
	char new_data[PATH_MAX];
	char log[PATH_MAX];
	char socket_folder[CHILD_SOCKET_MAX];
	char initdb[PATH_MAX];
	char postgres[PATH_MAX];
};

int pgchild_find_paths(struct pgchild_paths *p, const struct pgchild_options *o, struct err *err) MUST_CHECK;
/* Who runs it; gives the folder to that user. */
int pgchild_choose_identity(const struct pgchild_paths *p, struct child_identity *out, struct err *err) MUST_CHECK;
/* The folder of the socket; made when it is a short one. */
int pgchild_find_socket(struct pgchild_paths *p, const struct child_identity *who, struct err *err) MUST_CHECK;
/* libpq's words for the socket's folder. */
void pgchild_write_url(struct buf *out, const char *socket_folder);

#endif
