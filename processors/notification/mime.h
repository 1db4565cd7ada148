/* Writes an e-mail: headers by RFC 5322, words that are not plain ASCII by RFC 2047, the text as quoted-printable. Whatever the values
 * contain, they stay values: no byte of them can begin a header, end the text, or be read differently by another server. Any thread. */
#ifndef SLUICE_PROCESSORS_NOTIFICATION_MIME_H
#define SLUICE_PROCESSORS_NOTIFICATION_MIME_H

#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/str.h"

struct mime_message {
	struct str from_name; /* may be empty */
	struct str from, to;  /* addresses that mail_address_ok accepts */
	struct str subject;   /* UTF-8 */
	struct str text;      /* UTF-8; CRLF, CR and LF end a line */
	struct str message_id; /* with its angle brackets */
	int64_t date_wall_ms;
};

void mime_write(const struct mime_message *m, struct buf *out);

/* The parts of mime_write. */
void mime_add_words(struct buf *out, struct str text);  /* a header's unstructured value */
void mime_add_text(struct buf *out, struct str text);   /* quoted-printable, ends in CRLF */
void mime_add_date(struct buf *out, int64_t wall_ms);

#endif
