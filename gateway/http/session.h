/* A browser's session: the bearer token in a cookie that scripts cannot read and other sites cannot send.
 *
 * The cookie is the token itself, so every gateway behind a balancer knows it, and it ends when the token does. Where SLUICE_PUBLIC_URL
 * says https it is Secure under a __Host- name. A request whose proof is the cookie may change something only when the browser says that
 * a page of ours sent it. The request's thread. */
#ifndef SLUICE_GATEWAY_HTTP_SESSION_H
#define SLUICE_GATEWAY_HTTP_SESSION_H

#include "gateway/http/request.h"

/* What proves who is calling: the token behind "Bearer ", else the session's. .p NULL: there is none. */
struct str session_token(const struct request *r);
/* May the request do what only our own pages may? Requests with a bearer token may, and safe ones; else Sec-Fetch-Site decides, or Origin
 * where a browser does not send that (Fetch Metadata, W3C). */
bool session_is_ours(const struct request *r);

/* Adds the Set-Cookie field that begins a session of that many seconds, or ends it. */
void session_begin(const struct request *r, struct response *res, struct str token, int64_t seconds);
void session_end(const struct request *r, struct response *res);

#endif
