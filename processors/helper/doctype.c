#include "processors/helper/doctype.h"

#include <ctype.h>

#include "lib/base/attr.h"

#define OOXML "application/vnd.openxmlformats-officedocument."

static const struct doctype doctypes[] = {
	{"application/pdf", DOC_PDF, "pdf"},
	{"text/plain", DOC_TEXT, "txt text log md csv tsv"},
	{"text/csv", DOC_TEXT, "csv txt"},
	{"text/tab-separated-values", DOC_TEXT, "tsv txt"},
	{"text/markdown", DOC_TEXT, "md markdown txt"},
	{"application/json", DOC_TEXT, "json txt"},
	{"application/x-ndjson", DOC_TEXT, "ndjson jsonl json txt"},
	{"application/xml", DOC_TEXT, "xml txt"},
	{"application/yaml", DOC_TEXT, "yaml yml txt"},
	{"message/rfc822", DOC_TEXT, "eml txt"},
	{OOXML "wordprocessingml.document", DOC_OFFICE, "docx docm dotx"},
	{OOXML "presentationml.presentation", DOC_OFFICE, "pptx pptm ppsx"},
	{OOXML "spreadsheetml.sheet", DOC_OFFICE, "xlsx xlsm"},
	{"application/vnd.oasis.opendocument.text", DOC_OFFICE, "odt ott"},
	{"application/vnd.oasis.opendocument.presentation", DOC_OFFICE, "odp"},
	{"application/vnd.oasis.opendocument.spreadsheet", DOC_OFFICE, "ods"},
	{"text/html", DOC_MARKUP, "html htm"},
	{"application/xhtml+xml", DOC_MARKUP, "xhtml"},
	{"image/svg+xml", DOC_MARKUP, "svg"},
	{"text/rtf", DOC_UNSUPPORTED, "rtf"},
	{"application/msword", DOC_UNSUPPORTED, "doc"},
	{"application/zip", DOC_UNSUPPORTED, "zip"},
	{"image/png", DOC_UNSUPPORTED, "png"},
	{"image/jpeg", DOC_UNSUPPORTED, "jpg jpeg"},
	{"image/tiff", DOC_UNSUPPORTED, "tif tiff"},
	{"application/x-executable", DOC_FORBIDDEN, ""},
	{"application/x-pie-executable", DOC_FORBIDDEN, ""},
	{"application/x-sharedlib", DOC_FORBIDDEN, "so"},
	{"application/x-object", DOC_FORBIDDEN, "o"},
	{"application/x-coredump", DOC_FORBIDDEN, ""},
	{"application/x-mach-binary", DOC_FORBIDDEN, ""},
	{"application/x-dosexec", DOC_FORBIDDEN, "exe dll"},
	{"application/vnd.microsoft.portable-executable", DOC_FORBIDDEN, "exe dll"},
	{"application/x-msi", DOC_FORBIDDEN, "msi"},
	{"application/x-ms-shortcut", DOC_FORBIDDEN, "lnk"},
	{"application/x-java-applet", DOC_FORBIDDEN, "class"},
	{"application/java-archive", DOC_FORBIDDEN, "jar"},
	{"application/vnd.android.package-archive", DOC_FORBIDDEN, "apk"},
	{"application/javascript", DOC_FORBIDDEN, "js"},
	{"text/x-shellscript", DOC_FORBIDDEN, "sh"},
	{"text/x-msdos-batch", DOC_FORBIDDEN, "bat cmd"},
};

static const struct doctype unknown = {"", DOC_UNSUPPORTED, ""};

struct alias {
	const char *other, *normal;
};

static const struct alias aliases[] = {
	{"application/x-pdf", "application/pdf"},
	{"application/csv", "text/csv"},
	{"text/x-markdown", "text/markdown"},
	{"text/json", "application/json"},
	{"text/xml", "application/xml"},
	{"application/x-yaml", "application/yaml"},
	{"text/yaml", "application/yaml"},
	{"text/javascript", "application/javascript"},
	{"application/rtf", "text/rtf"},
	{"image/jpg", "image/jpeg"},
	{"application/x-zip-compressed", "application/zip"},
	{"application/x-msdownload", "application/x-dosexec"},
	{"binary/octet-stream", "application/octet-stream"},
};

const struct doctype *doctype_find(struct str mime)
{
	for (size_t i = 0; i < ARRAY_LEN(doctypes); i++)
		if (str_is(mime, doctypes[i].mime))
			return &doctypes[i];
	return &unknown;
}

struct str doctype_normal(struct str mime, struct arena *a)
{
	char *copy = arena_dupz(a, str_trim(str_cut(&mime, ';')));
	if (!copy)
		return STR_NONE;
	for (char *c = copy; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	struct str name = str_from(copy);
	for (size_t i = 0; i < ARRAY_LEN(aliases); i++)
		if (str_is(name, aliases[i].other))
			return str_from(aliases[i].normal);
	return name;
}

bool doctype_has_extension(const struct doctype *t, struct str extension)
{
	struct str rest = str_from(t->extensions);
	while (rest.p)
		if (str_ieq(str_cut(&rest, ' '), extension))
			return true;
	return false;
}

enum mime_verdict doctype_verdict(struct str declared, struct str detected)
{
	if (str_eq(declared, detected))
		return MIME_MATCH;
	/* What a client says when it does not know; and one text type is seldom told from another by its bytes. */
	if (str_is(declared, "application/octet-stream"))
		return MIME_COMPATIBLE;
	const struct doctype *found = doctype_find(detected);
	if (found->kind == DOC_TEXT && (doctype_find(declared)->kind == DOC_TEXT || str_starts(declared, STR("text/"))))
		return MIME_COMPATIBLE;
	if (found->kind == DOC_OFFICE && str_is(declared, "application/zip"))
		return MIME_COMPATIBLE;
	return MIME_DIFFERENT;
}

const char *mime_verdict_name(enum mime_verdict v)
{
	static const char *const names[] = {"match", "compatible", "mismatch"};
	return names[v];
}
