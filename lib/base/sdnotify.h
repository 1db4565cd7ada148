/* Tells the supervisor how the program is doing: systemd's protocol for Type=notify and WatchdogSec= (sd_notify(3)), by hand, since it is one
 * datagram. Without a supervisor that wants to know (NOTIFY_SOCKET is unset) nothing is done. Any thread. */
#ifndef SLUICE_BASE_SDNOTIFY_H
#define SLUICE_BASE_SDNOTIFY_H

#include <stdint.h>

#include "lib/base/attr.h"
#include "lib/base/err.h"

#define SDNOTIFY_READY "READY=1"
#define SDNOTIFY_STOPPING "STOPPING=1"
#define SDNOTIFY_WATCHDOG "WATCHDOG=1"

/* Sends one of the above, or several lines. Never blocks. ERR_INVALID when NOTIFY_SOCKET names no socket address, ERR_IO. */
int sdnotify(const char *state, struct err *err) MUST_CHECK;

/* How long the supervisor waits between two SDNOTIFY_WATCHDOG before it ends the program; 0: it does not wait for any. */
int64_t sdnotify_watchdog_ms(void);

#endif
