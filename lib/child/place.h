/* Where an embedded server lives: its program, its folder, its socket, the end of its log. Any thread. */
#ifndef SLUICE_CHILD_PLACE_H
#define SLUICE_CHILD_PLACE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "lib/base/attr.h"
#include "lib/base/err.h"

#define CHILD_SOCKET_MAX 100 /* bytes of path: under sun_path's 108 on Linux, 104 elsewhere */
#define CHILD_FOLDER_MAX (PATH_MAX - 64)

/* An executable file of this name: in PATH, or where the name says. */
bool child_find_program(char out[PATH_MAX], const char *name);
bool child_is_program(const char *path);

/* The folder's absolute path, without links; it is made when it is missing. */
int child_find_folder(char out[CHILD_FOLDER_MAX], const char *folder, struct err *err) MUST_CHECK;
/* "folder/name"; ERR_INVALID when it is too long. */
int child_join(char *out, size_t size, const char *folder, const char *name, struct err *err) MUST_CHECK;

/* A folder for the socket `name`: the folder itself where the path is short and has no comma, else a private one under $XDG_RUNTIME_DIR or /tmp, always the
 * same for the same folder, that belongs to `owner`. ERR_DENIED when somebody else has made that before. */
int child_find_socket_folder(char out[CHILD_SOCKET_MAX], const char *folder, const char *name, uid_t owner, struct err *err) MUST_CHECK;

void child_last_log_line(const char *log, char *out, size_t size);

#endif
