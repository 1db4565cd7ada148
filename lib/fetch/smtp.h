/* Sending mail by SMTP: one message to one recipient, so that every reply belongs to somebody.
 *
 *     struct mailer *m = mailer_new(&options, &err);          once, at start
 *     struct smtp_request rq = {.from = from, .to = to, .message = text, .deadline_mono_ms = deadline, .cancel_fd = -1};
 *     struct smtp_reply reply;
 *     int rc = mailer_send(m, &rq, &reply, &err);
 *     mailer_free(m);                                         after the last mailer_send has returned
 *
 * The server is the operator's choice, so no guard stands before it. Connections are kept for a short while.
 *
 *     0                    accepted: the server has taken responsibility for the message
 *     ERR_INVALID          an address or the message cannot be sent; nothing was
 *     ERR_REPLY            refused: reply->code says by what; the message was not taken
 *     ERR_UNAVAILABLE      no connection, or no TLS where it is required; the message was not taken
 *     ERR_TIMEOUT          the deadline passed before the message was complete; it was not taken
 *     ERR_UNKNOWN_OUTCOME  the message was complete, and then the connection broke or the deadline passed
 *     ERR_STOPPING         cancelled; reply->complete tells whether it may have been taken
 *     ERR_NOMEM
 * Any thread; calls from several threads run side by side. */
#ifndef SLUICE_FETCH_SMTP_H
#define SLUICE_FETCH_SMTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/attr.h"
#include "lib/base/err.h"
#include "lib/base/str.h"

struct mailer;

enum smtp_tls { SMTP_TLS_REQUIRE, SMTP_TLS_OPPORTUNISTIC, SMTP_TLS_OFF }; /* STARTTLS; smtps:// is TLS from the first byte */

struct mailer_options {
	const char *url;      /* smtp://host[:port] or smtps://host[:port] */
	const char *user;     /* NULL or "": no AUTH */
	const char *password;
	enum smtp_tls tls;
	const char *ca_file;  /* NULL or "": the system's */
	const char *helo;     /* NULL or "": this machine's name */
};

struct smtp_request {
	struct str from, to; /* bare addresses that mail_address_ok accepts */
	struct str message;  /* RFC 5322, every line ends in CRLF; no bare CR or LF. Dots are stuffed on the way */
	int64_t deadline_mono_ms;
	int cancel_fd;       /* readable: stop at once; -1: never */
};

struct smtp_reply {
	int code;          /* the last reply's; 0: there was none */
	char enhanced[12]; /* RFC 3463, such as 5.1.1; "" when it had none */
	bool complete;     /* the whole message was handed to the connection: without a final reply it may have been taken */
	int64_t ms;
};

/* NULL: ERR_INVALID (the URL or the name), ERR_NOMEM. */
struct mailer *mailer_new(const struct mailer_options *o, struct err *err);
void mailer_free(struct mailer *m);

int mailer_send(struct mailer *m, const struct smtp_request *rq, struct smtp_reply *reply, struct err *err) MUST_CHECK;

/* One address: a dot-atom of at most 64 bytes, "@", a domain of letters, digits and hyphens; 254 bytes together, ASCII. */
bool mail_address_ok(struct str address);

/* Reads one reply line ("550-5.1.1 No such user") into code and enhanced; false when it is no last line of a reply. */
bool smtp_read_line(struct str line, int *code, char enhanced[12]);

#endif
