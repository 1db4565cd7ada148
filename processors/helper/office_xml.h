/* The text, or the metadata, of one XML part of an office document, as a stream. Document type declarations are refused: with them go entities
 * and everything that is loaded from elsewhere.
 *
 *     office_xml_begin(&xml, x, false) … office_xml_feed(&xml, p, n) … office_xml_end(&xml) … office_xml_release(&xml)
 *
 * Text goes to x->text, metadata to x->report. The three return false on failure, the reason in `fault`. */
#ifndef SLUICE_PROCESSORS_HELPER_OFFICE_XML_H
#define SLUICE_PROCESSORS_HELPER_OFFICE_XML_H

#include <libxml/parser.h>

#include "processors/helper/extract.h"

struct office_xml {
	struct extract *x;
	xmlParserCtxtPtr parser;
	const char *fault;
	bool metadata;
	unsigned depth;
	unsigned in_text;  /* elements whose characters are text, now open */
	unsigned in_run;   /* runs of OOXML, now open: tabs and breaks elsewhere are settings, not text */
	struct str *field; /* the metadata field whose element is open, or NULL */
	struct buf value;  /* its characters */
};

bool office_xml_begin(struct office_xml *xml, struct extract *x, bool metadata);
bool office_xml_feed(struct office_xml *xml, const char *p, size_t n);
bool office_xml_end(struct office_xml *xml);
void office_xml_release(struct office_xml *xml);

#endif
