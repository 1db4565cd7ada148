/* A terminal that a command has for itself while it shows a view: its own screen, keys as they are pressed, signals as events.
 *
 *     struct terminal t;
 *     if (terminal_open(&t, &err) < 0) ...
 *     terminal_draw(&t, frame);
 *     switch on terminal_wait(&t, 2000, &key) ...
 *     terminal_close(&t);          everything is as before
 *
 * t.events is readable when a key or a signal is there: what takes long can watch it and let go. SIGINT, SIGTERM, SIGHUP end the view,
 * SIGTSTP gives the terminal back until the process goes on. The one thread of a command. */
#ifndef SLUICE_GATEWAY_CLI_TERMINAL_H
#define SLUICE_GATEWAY_CLI_TERMINAL_H

#include <signal.h>
#include <stdbool.h>
#include <termios.h>

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"

enum terminal_event { TERMINAL_TIME, TERMINAL_KEY, TERMINAL_CHANGED, TERMINAL_END };

struct terminal {
	int events, signals;
	struct termios before;
	sigset_t mask_before;
	char typed[64]; /* keys that have been read and not told */
	size_t n_typed;
};

/* Is there one, on stdin and stdout, that can place text? */
bool terminal_here(const char *term);

int terminal_open(struct terminal *t, struct err *err) MUST_CHECK;
void terminal_close(struct terminal *t);

/* TERMINAL_KEY: *key is its byte, 'k' and 'j' for the arrows up and down, 0 for keys of several bytes that are neither. TERMINAL_CHANGED: draw
 * anew. */
enum terminal_event terminal_wait(struct terminal *t, int timeout_ms, char *key);

void terminal_size(size_t *rows, size_t *columns);

/* Writes the whole frame; what it begins with stands in the upper left corner. */
void terminal_draw(struct str frame);

#endif
