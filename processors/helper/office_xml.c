#include "processors/helper/office_xml.h"

#include <stddef.h>

#define MAX_DEPTH 200

/* What an element means for the text, by its local name; OOXML's and ODF's names do not collide. */
struct element {
	const char *name;
	enum { ELEMENT_MARK, ELEMENT_IN_RUN, ELEMENT_TEXT, ELEMENT_RUN } role; /* IN_RUN: a mark, inside runs only */
	const char *begin; /* text put at its start */
	const char *end;   /* and at its end */
};

static const struct element odf_elements[] = {
	{"p", ELEMENT_TEXT, "", "\n"},
	{"h", ELEMENT_TEXT, "", "\n"},
	{"s", ELEMENT_MARK, " ", ""},
	{"tab", ELEMENT_MARK, "\t", ""},
	{"line-break", ELEMENT_MARK, "\n", ""},
	{"page", ELEMENT_MARK, "", "\f"},
};

static const struct element ooxml_elements[] = {
	{"r", ELEMENT_RUN, "", ""},
	{"t", ELEMENT_TEXT, "", ""},
	{"tab", ELEMENT_IN_RUN, "\t", ""},
	{"br", ELEMENT_MARK, "\n", ""},
	{"cr", ELEMENT_IN_RUN, "\n", ""},
	{"p", ELEMENT_MARK, "", "\n"},
	{"si", ELEMENT_MARK, "", "\n"},
};

/* Metadata elements of docProps/core.xml, docProps/app.xml and meta.xml. */
static const struct {
	const char *name;
	size_t offset; /* of the member of struct metadata */
} metadata_elements[] = {
	{"title", offsetof(struct metadata, title)},
	{"creator", offsetof(struct metadata, author)},
	{"created", offsetof(struct metadata, created)},
	{"creation-date", offsetof(struct metadata, created)},
	{"Application", offsetof(struct metadata, producer)},
	{"generator", offsetof(struct metadata, producer)},
};

static void stop(struct office_xml *xml, const char *fault)
{
	xml->fault = fault;
	xmlStopParser(xml->parser);
}

static const struct element *find_element(const struct office_xml *xml, const xmlChar *name)
{
	bool odf = str_starts(xml->x->report.detected, STR("application/vnd.oasis."));
	const struct element *rows = odf ? odf_elements : ooxml_elements;
	size_t n = odf ? ARRAY_LEN(odf_elements) : ARRAY_LEN(ooxml_elements);
	for (size_t i = 0; i < n; i++)
		if (strcmp((const char *)name, rows[i].name) == 0)
			return &rows[i];
	return NULL;
}

static struct str *find_field(struct office_xml *xml, const xmlChar *name)
{
	for (size_t i = 0; i < ARRAY_LEN(metadata_elements); i++)
		if (strcmp((const char *)name, metadata_elements[i].name) == 0)
			return (struct str *)(void *)((char *)&xml->x->report.metadata + metadata_elements[i].offset);
	return NULL;
}

static void put(struct office_xml *xml, const char *text, size_t n)
{
	if (!text_out_add(&xml->x->text, text, n))
		xmlStopParser(xml->parser); /* full: enough has been read */
}

static void on_start(void *arg, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri, int n_ns, const xmlChar **ns, int n_attr,
		     int n_default, const xmlChar **attr)
{
	struct office_xml *xml = arg;
	(void)prefix, (void)uri, (void)n_ns, (void)ns, (void)n_attr, (void)n_default, (void)attr;
	if (++xml->depth > MAX_DEPTH) {
		stop(xml, "a part is nested too deeply");
		return;
	}
	if (xml->metadata) {
		xml->field = find_field(xml, name);
		buf_clear(&xml->value);
		return;
	}
	const struct element *e = find_element(xml, name);
	if (!e)
		return;
	xml->in_text += e->role == ELEMENT_TEXT;
	xml->in_run += e->role == ELEMENT_RUN;
	if (e->role != ELEMENT_IN_RUN || xml->in_run > 0)
		put(xml, e->begin, strlen(e->begin));
}

static void keep_field(struct office_xml *xml)
{
	if (xml->field && xml->value.n > 0 && !xml->value.failed && !xml->field->p)
		*xml->field = arena_dup(xml->x->arena, buf_str(&xml->value));
	xml->field = NULL;
}

static void on_end(void *arg, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri)
{
	struct office_xml *xml = arg;
	(void)prefix, (void)uri;
	xml->depth--;
	if (xml->metadata) {
		keep_field(xml);
		return;
	}
	const struct element *e = find_element(xml, name);
	if (!e)
		return;
	xml->in_text -= e->role == ELEMENT_TEXT;
	xml->in_run -= e->role == ELEMENT_RUN;
	put(xml, e->end, strlen(e->end));
}

static void on_characters(void *arg, const xmlChar *text, int n)
{
	struct office_xml *xml = arg;
	if (xml->field)
		buf_add(&xml->value, text, (size_t)n);
	else if (xml->in_text > 0)
		put(xml, (const char *)text, (size_t)n);
}

static void on_doctype(void *arg, const xmlChar *name, const xmlChar *external, const xmlChar *system)
{
	(void)name, (void)external, (void)system;
	stop(arg, "a part has a document type declaration");
}

/* libxml2 would print it. */
static void on_error(void *arg, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void on_error(void *arg, const char *fmt, ...)
{
	(void)arg, (void)fmt;
}

bool office_xml_begin(struct office_xml *xml, struct extract *x, bool is_metadata)
{
	xmlSAXHandler handler = {
		.initialized = XML_SAX2_MAGIC,
		.startElementNs = on_start,
		.endElementNs = on_end,
		.characters = on_characters,
		.cdataBlock = on_characters,
		.internalSubset = on_doctype,
		.warning = on_error,
		.error = on_error,
	};
	*xml = (struct office_xml){.x = x, .metadata = is_metadata, .value = {.max = HELPER_MAX_FIELD}};
	xml->parser = xmlCreatePushParserCtxt(&handler, xml, NULL, 0, NULL);
	return xml->parser && xmlCtxtUseOptions(xml->parser, XML_PARSE_NONET | XML_PARSE_COMPACT) == 0;
}

bool office_xml_feed(struct office_xml *xml, const char *p, size_t n)
{
	if (xml->x->text.truncated || xml->x->text.failure)
		return true; /* the text's own matter */
	int rc = xmlParseChunk(xml->parser, p, (int)n, 0);
	if (xml->x->text.truncated)
		return true;
	if (rc != XML_ERR_OK && !xml->fault)
		xml->fault = "a part is not well-formed XML";
	return !xml->fault;
}

bool office_xml_end(struct office_xml *xml)
{
	if (xml->x->text.truncated || xml->x->text.failure)
		return true;
	if (xmlParseChunk(xml->parser, NULL, 0, 1) != XML_ERR_OK && !xml->fault)
		xml->fault = "a part is not well-formed XML";
	return !xml->fault;
}

void office_xml_release(struct office_xml *xml)
{
	xmlFreeParserCtxt(xml->parser);
	buf_release(&xml->value);
}
