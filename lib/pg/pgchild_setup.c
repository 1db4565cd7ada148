#include <dirent.h>
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/fs.h"
#include "lib/pg/pgchild_internal.h"

#define DEBIAN_PROGRAMS "/usr/lib/postgresql"
#define SOCKET_NAME ".s.PGSQL.5432.lock" /* the longest name in the socket's folder */
#define OLDEST_VERSION 13

/* ---- the programs ---- */

static int join_programs(struct pgchild_paths *p, const char *folder, struct err *err)
{
	int rc = child_join(p->initdb, sizeof(p->initdb), folder, "initdb", err);
	if (rc == 0)
		rc = child_join(p->postgres, sizeof(p->postgres), folder, "postgres", err);
	if (rc == 0 && !(child_is_program(p->initdb) && child_is_program(p->postgres)))
		rc = err_set(err, ERR_NOT_FOUND, "initdb and postgres are not in %s", folder);
	return rc;
}

static int of_version(struct pgchild_paths *p, unsigned version)
{
	char folder[64];
	snprintf(folder, sizeof(folder), DEBIAN_PROGRAMS "/%u/bin", version);
	return join_programs(p, folder, NULL);
}

/* Debian keeps the versions side by side. 0: none. */
static unsigned newest_version(struct pgchild_paths *p)
{
	unsigned newest = 0;
	DIR *d = opendir(DEBIAN_PROGRAMS);
	for (struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d)) {
		uint64_t version;
		if (str_to_u64(str_from(e->d_name), &version) == 0 && version >= OLDEST_VERSION && version < 1000 && version > newest &&
		    of_version(p, (unsigned)version) == 0)
			newest = (unsigned)version;
	}
	if (d)
		closedir(d);
	return newest;
}

static int newest_programs(struct pgchild_paths *p)
{
	unsigned version = newest_version(p);
	if (version > 0)
		return of_version(p, version);
	return child_find_program(p->initdb, "initdb") && child_find_program(p->postgres, "postgres") ? 0 : ERR_NOT_FOUND;
}

bool pgchild_is_installed(void)
{
	struct pgchild_paths p;
	return newest_programs(&p) == 0;
}

/* The data's version; 0: there are none yet. */
static unsigned data_version(const struct pgchild_paths *p)
{
	char path[PATH_MAX + 16];
	uint64_t version = 0;
	struct buf text = BUF_INIT;
	snprintf(path, sizeof(path), "%s/PG_VERSION", p->data);
	if (fs_read_file(path, 16, &text, NULL) == 0) {
		struct str s = buf_str(&text);
		if (str_to_u64(str_cut(&s, '\n'), &version) < 0)
			version = 0;
	}
	buf_release(&text);
	return (unsigned)version;
}

static int find_programs(struct pgchild_paths *p, const struct pgchild_options *o, struct err *err)
{
	unsigned version = data_version(p);
	if (o->programs)
		return join_programs(p, o->programs, err);
	if (version > 0 && of_version(p, version) == 0)
		return 0;
	if (newest_programs(p) < 0)
		return err_set(err, ERR_NOT_FOUND, "PostgreSQL is not installed: apt-get install postgresql (or set DATABASE_URL, or SLUICE_RECORDS=off)");
	/* Programs in PATH may be of any version; PostgreSQL itself refuses data that are not its own. */
	if (version > 0 && newest_version(p) > 0)
		return err_set(err, ERR_NOT_FOUND, "%s was made by PostgreSQL %u, which is not installed: apt-get install postgresql-%u, or move it with "
			       "pg_upgrade", p->data, version, version);
	return 0;
}

/* ---- the folder ---- */

int pgchild_find_paths(struct pgchild_paths *p, const struct pgchild_options *o, struct err *err)
{
	char folder[PATH_MAX];
	int rc = child_join(folder, sizeof(folder), o->data_dir, "postgres", err);
	if (rc == 0)
		rc = child_find_folder(p->folder, folder, err);
	if (rc == 0)
		rc = child_join(p->data, sizeof(p->data), p->folder, "data", err);
	if (rc == 0)
		rc = child_join(p->new_data, sizeof(p->new_data), p->folder, "data.new", err);
	if (rc == 0)
		rc = child_join(p->log, sizeof(p->log), p->folder, "postgres.log", err);
	return rc < 0 ? rc : find_programs(p, o, err);
}

int pgchild_find_socket(struct pgchild_paths *p, const struct child_identity *who, struct err *err)
{
	uid_t owner = who->how == CHILD_AS_USER ? who->uid : geteuid();
	return child_find_socket_folder(p->socket_folder, p->folder, SOCKET_NAME, owner, err);
}

/* In libpq's quotes. */
void pgchild_write_url(struct buf *out, const char *socket_folder)
{
	buf_addz(out, "host='");
	for (const char *c = socket_folder; *c; c++) {
		if (*c == '\'' || *c == '\\')
			buf_addc(out, '\\');
		buf_addc(out, *c);
	}
	buf_addz(out, "' port=5432 user=sluice dbname=postgres");
}

int pgchild_find_url(const char *data_dir, struct buf *out, struct err *err)
{
	struct stat st;
	char folder[CHILD_SOCKET_MAX], path[PATH_MAX], full[PATH_MAX];
	int rc = child_join(path, sizeof(path), data_dir, "postgres", err);
	if (rc < 0)
		return rc;
	if (!realpath(path, full) || stat(full, &st) < 0)
		return err_set(err, ERR_NOT_FOUND, "there is no embedded PostgreSQL in %s", data_dir);
	rc = child_find_socket_folder(folder, full, SOCKET_NAME, st.st_uid, err);
	if (rc == 0)
		pgchild_write_url(out, folder);
	return rc;
}

/* ---- the user ---- */

/* May that user come to the folder, through all above it? Access lists are not looked at. */
static bool can_reach(const char *folder, const struct passwd *user)
{
	char path[PATH_MAX];
	struct stat st;
	snprintf(path, sizeof(path), "%s", folder);
	for (char *slash = strrchr(path, '/'); slash && slash != path; slash = strrchr(path, '/')) {
		*slash = '\0';
		if (stat(path, &st) < 0)
			return false;
		mode_t needed = st.st_uid == user->pw_uid ? S_IXUSR : st.st_gid == user->pw_gid ? S_IXGRP : S_IXOTH;
		if (!(st.st_mode & needed))
			return false;
	}
	return true;
}

/* initdb wants to know a name for whom it runs as, also inside of a namespace. */
static int find_user(struct passwd *out, char *memory, size_t size, struct err *err)
{
	struct passwd *found = NULL;
	if (getpwnam_r("postgres", out, memory, size, &found) == 0 && found && out->pw_uid != 0)
		return 0;
	if (getpwnam_r("nobody", out, memory, size, &found) == 0 && found && out->pw_uid != 0)
		return 0;
	return err_set(err, ERR_DENIED, "PostgreSQL does not run as root, and there is neither a user postgres nor nobody: set DATABASE_URL");
}

int pgchild_choose_identity(const struct pgchild_paths *p, struct child_identity *out, struct err *err)
{
	char memory[1024];
	struct passwd user;
	struct stat st;
	*out = (struct child_identity){.how = CHILD_AS_SELF};
	if (geteuid() != 0)
		return 0;
	int rc = find_user(&user, memory, sizeof(memory), err);
	if (rc < 0)
		return rc;
	*out = (struct child_identity){CHILD_IN_NAMESPACE, user.pw_uid, user.pw_gid};
	bool made = stat(p->data, &st) == 0;
	if (made && st.st_uid == 0)
		return 0;
	if (!made && (strcmp(user.pw_name, "postgres") != 0 || !can_reach(p->folder, &user)))
		return chown(p->folder, 0, 0) < 0 ? err_errno(err, "cannot take %s", p->folder) : 0;
	/* Data stay with the user that made them. */
	*out = (struct child_identity){CHILD_AS_USER, made ? st.st_uid : user.pw_uid, made ? st.st_gid : user.pw_gid};
	return chown(p->folder, out->uid, out->gid) < 0 ? err_errno(err, "cannot give %s away", p->folder) : 0;
}
