/* The document to try things with: a PDF of exactly SAMPLE_BYTES, stored as SAMPLE_ID of the organization "default" where the setting
 * SLUICE_SAMPLE_DOCUMENT asks for it. Two pages: a text with made-up particulars, so that an analysis has something to find, and a picture. */
#ifndef SLUICE_GATEWAY_SAMPLE_H
#define SLUICE_GATEWAY_SAMPLE_H

#include "lib/base/buf.h"

struct docstore;
struct log;

#define SAMPLE_ID "demo-doc-123"
#define SAMPLE_BYTES 1024000

/* Always the same bytes. */
void sample_pdf(struct buf *out);

/* Stores it unless a document of that id is there. What goes wrong is logged: nothing depends on it. */
void sample_store(struct docstore *documents, struct log *log);

#endif
