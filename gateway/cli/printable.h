/* Strangers' text on a terminal: whatever a job's name, data or error holds, the terminal shows it and does nothing else.
 *
 * What a terminal might obey, and what changes the order or the place of other text (control characters of both ranges, marks of direction,
 * characters without width, tags), is shown as an escape like \u001b; bytes that are no UTF-8 as U+FFFD. The widths are those of a terminal
 * that knows UTF-8, once printable_begin has been called. */
#ifndef SLUICE_GATEWAY_CLI_PRINTABLE_H
#define SLUICE_GATEWAY_CLI_PRINTABLE_H

#include "lib/base/buf.h"

/* Sets the character type of the process to UTF-8; once, before other threads exist. */
void printable_begin(void);

/* Appends any text, on one line. */
void printable_add(struct buf *out, struct str text);

/* Appends JSON text: the same value, its dangerous characters as JSON's own escapes. */
void printable_add_json(struct buf *out, struct str json);

/* Columns that text takes which has come through printable_add. */
size_t printable_width(struct str text);

/* Appends such text cut to so many columns; what is left out is shown by an ellipsis. How many columns it takes. */
size_t printable_fit(struct buf *out, struct str text, size_t columns);

#endif
