/* The socket below a civetweb connection.
 *
 * civetweb 1.15 hides its sockets, has no deadline on reading a body, restarts its timeout after every partial write, and gives its
 * threads 100 KiB of stack. All of it goes through libc calls that it imports dynamically, so this program has its own recv(2) (it
 * notes the socket and heeds a deadline of the calling thread), its own poll(2) (the accepting thread waits in the lobby; a connection's
 * thread reads the next request while it waits, which saves a system call), its own accept(2) and its own pthread_attr_setstacksize(3) (it
 * raises that one value to 1 MiB; stacks are touched lazily, so this costs address space only). Other libraries in the process pass
 * through unchanged.
 *
 * Unless said otherwise: the connection's thread. */
#ifndef SLUICE_GATEWAY_HTTP_WIRE_H
#define SLUICE_GATEWAY_HTTP_WIRE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "lib/base/attr.h"
#include "lib/base/str.h"

/* This thread has a new connection. */
void wire_begin(void);

/* From now on recv(2) of the connection fails with ETIMEDOUT once the deadline has passed, and poll(2) for the connection's input waits no longer;
 * 0 = no deadline. */
void wire_watch(int64_t deadline_mono_ms);

/* From now on recv(2) of the connection brings so many bytes at most, in all; then it fails with ECONNRESET. */
#define WIRE_ALLOW_ALL INT64_MAX
void wire_allow(int64_t bytes);

/* The socket of this thread's last recv(2), when its peer has this port; else -1. */
int wire_socket(int peer_port);

/* Where this thread's last recv(2) put what it brought; .p NULL when none has brought anything since this was asked before. */
struct str wire_received(void);
/* Reads what there is, without waiting: bytes, 0 when there is nothing yet, ERR_IO when nothing more will come. */
int64_t wire_take(int fd, void *into, size_t n) MUST_CHECK;
/* Waits until there is something to read, or nothing more will come, or the deadline has passed. */
void wire_await_input(int fd, int64_t deadline_mono_ms);

/* Did this thread's last recv(2) fill the whole buffer it was given? Then a head that is not complete is too large. */
bool wire_filled(void);

/* Writes what the socket takes at once: 0 when that was everything, 1 when a rest is left (*iov and *n are it then), or ERR_IO. Changes the
 * iovecs. Any thread. */
int wire_push(int fd, struct iovec **iov, int *n) MUST_CHECK;

/* Writes everything in as few calls as the kernel allows: 0, or ERR_TIMEOUT, also when the peer has taken nothing for WIRE_STALL_MS, ERR_IO.
 * Changes iov. */
#define WIRE_STALL_MS 10000
int wire_send(int fd, struct iovec *iov, int n, int64_t deadline_mono_ms) MUST_CHECK;
/* Sends n bytes of a file from its position. */
int wire_send_file(int fd, int file, int64_t n, int64_t deadline_mono_ms) MUST_CHECK;

/* Says that no more will be sent and discards what the peer still sends, for a moment: closing with unread input would reset the
 * connection and take the answer with it (RFC 9112 9.6). */
void wire_linger(int fd);

/* From now on poll(2) on this thread waits in the lobby for a connection, and accept(2) brings it. */
struct lobby;
void wire_accept_from(struct lobby *lobby);

/* The socket of this process that listens on the port; -1: there is none. Any thread. */
int wire_listener(unsigned port);

/* Ends the input of all of this process' connections to the port, so that whoever waits for it wakes up. Any thread. */
void wire_shut_connections(unsigned port);

/* Stops listening, after what waits to be accepted has been. The descriptor stays open. Any thread. */
void wire_stop_listening(int fd);

/* Has the peer gone away? */
bool wire_peer_gone(int fd);

#endif
