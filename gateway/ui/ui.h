/* Serves the web page: one document for each of its addresses, and its files under names that change with their content.
 *
 * The files are part of the program, compressed when it was built. A build without them (WITH_UI=0) says so at "/". Any thread. */
#ifndef SLUICE_GATEWAY_UI_UI_H
#define SLUICE_GATEWAY_UI_UI_H

#include "gateway/http/request.h"

/* A page_fn (gateway/http/server.h): the file or the page at the request's path; false: neither. */
bool ui_serve(struct request *r, struct response *res);
/* The page, whatever the path. */
void ui_page(struct request *r, struct response *res);

#endif
