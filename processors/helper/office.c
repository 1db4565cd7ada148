/* Office documents: ZIP archives of XML parts, in Microsoft's (OOXML) and OASIS' (ODF) manner. Nothing is ever unpacked to a file; parts are
 * read in the order in which they stand in the archive. */
#include <archive.h>
#include <archive_entry.h>

#include "processors/helper/extract.h"
#include "processors/helper/office_xml.h"

/* Bounds against archives made to burst. */
#define MAX_ENTRIES 10000
#define MAX_UNPACKED ((int64_t)256 << 20)
#define MAX_RATIO 100
#define RATIO_COUNTS_FROM ((int64_t)1 << 20)

#define OOXML "application/vnd.openxmlformats-officedocument."
#define ODF "application/vnd.oasis.opendocument."

enum part_use { PART_TEXT, PART_PAGE, PART_METADATA };

/* Which parts of which family hold what; `name` may end in * for any rest. */
struct part {
	const char *family; /* beginning of the media type */
	const char *name;
	enum part_use use;
};

static const struct part parts[] = {
	{OOXML "wordprocessingml", "word/document.xml", PART_TEXT},
	{OOXML "wordprocessingml", "word/footnotes.xml", PART_TEXT},
	{OOXML "wordprocessingml", "word/endnotes.xml", PART_TEXT},
	{OOXML "spreadsheetml", "xl/sharedStrings.xml", PART_TEXT},
	{OOXML "presentationml", "ppt/slides/slide*", PART_PAGE},
	{OOXML, "docProps/core.xml", PART_METADATA},
	{OOXML, "docProps/app.xml", PART_METADATA},
	{ODF, "content.xml", PART_TEXT},
	{ODF, "meta.xml", PART_METADATA},
};

/* What the first folder of an OOXML archive says. */
static const struct {
	const char *prefix, *type;
} folders[] = {
	{"word/", OOXML "wordprocessingml.document"},
	{"ppt/", OOXML "presentationml.presentation"},
	{"xl/", OOXML "spreadsheetml.sheet"},
};

static struct archive *open_zip(struct str bytes)
{
	struct archive *a = archive_read_new();
	if (!a)
		return NULL;
	if (archive_read_support_format_zip_seekable(a) == ARCHIVE_OK && archive_read_open_memory(a, bytes.p, bytes.n) == ARCHIVE_OK)
		return a;
	archive_read_free(a);
	return NULL;
}

/* The next entry's name; NULL at the end, with *damaged set when that came too early. */
static const char *next_entry(struct archive *a, struct archive_entry **entry, bool *damaged)
{
	int rc = archive_read_next_header(a, entry);
	*damaged = rc != ARCHIVE_EOF && rc < ARCHIVE_WARN;
	if (rc == ARCHIVE_EOF || *damaged)
		return NULL;
	const char *name = archive_entry_pathname_utf8(*entry);
	return name ? name : "";
}

static struct str odf_type(struct archive *a)
{
	static const char *const types[] = {ODF "text", ODF "presentation", ODF "spreadsheet"};
	char said[128];
	ssize_t n = archive_read_data(a, said, sizeof(said));
	for (size_t i = 0; i < ARRAY_LEN(types) && n > 0; i++)
		if (str_is(str_trim((struct str){said, (size_t)n}), types[i]))
			return str_from(types[i]);
	return STR_NONE;
}

struct str office_type(struct str bytes)
{
	struct archive *a = open_zip(bytes);
	struct archive_entry *entry;
	struct str type = STR_NONE;
	bool damaged, sure = false;
	const char *name;
	for (unsigned n = 0; a && n < MAX_ENTRIES && (name = next_entry(a, &entry, &damaged)); n++) {
		if (n == 0 && strcmp(name, "mimetype") == 0) {
			type = odf_type(a);
			sure = true;
			break;
		}
		sure |= strcmp(name, "[Content_Types].xml") == 0;
		for (size_t i = 0; i < ARRAY_LEN(folders) && !type.p; i++)
			if (strncmp(name, folders[i].prefix, strlen(folders[i].prefix)) == 0)
				type = str_from(folders[i].type);
	}
	if (a)
		archive_read_free(a);
	return sure ? type : STR_NONE;
}

static bool name_matches(const char *name, const char *pattern)
{
	size_t n = strlen(pattern);
	if (pattern[n - 1] == '*')
		return strncmp(name, pattern, n - 1) == 0;
	return strcmp(name, pattern) == 0;
}

static const struct part *find_part(struct str type, const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		if (str_starts(type, str_from(parts[i].family)) && name_matches(name, parts[i].name))
			return &parts[i];
	return NULL;
}

static bool is_burst(int64_t unpacked, size_t packed)
{
	return unpacked > MAX_UNPACKED || (unpacked > RATIO_COUNTS_FROM && unpacked / MAX_RATIO > (int64_t)packed);
}

/* Looks at one entry's header: what it says of macros, embedded files, encryption and size. */
static bool check_entry(struct extract *x, struct archive_entry *entry, const char *name, int64_t *unpacked)
{
	struct report *r = &x->report;
	if (archive_entry_is_encrypted(entry))
		return extract_fail(x, FAILURE_ENCRYPTED, NULL);
	if (archive_entry_size_is_set(entry))
		*unpacked += archive_entry_size(entry);
	if (is_burst(*unpacked, x->bytes.n))
		return extract_fail(x, FAILURE_ARCHIVE_BOMB, NULL);
	if (strstr(name, "vbaProject.bin") || strncmp(name, "Basic/", 6) == 0)
		r->security.macros = true;
	if (strstr(name, "/embeddings/"))
		r->security.embedded_files++;
	return true;
}

/* ODF encrypts part by part and says so in its manifest; the archive itself looks like any other. */
static bool check_manifest(struct extract *x, struct archive *a)
{
	struct buf text = BUF_INIT;
	char block[8192];
	ssize_t n;
	text.max = (size_t)1 << 20;
	while ((n = archive_read_data(a, block, sizeof(block))) > 0 && !text.failed)
		buf_add(&text, block, (size_t)n);
	bool encrypted = text.n > 0 && memmem(text.p, text.n, "encryption-data", 15);
	buf_release(&text);
	return encrypted ? extract_fail(x, FAILURE_ENCRYPTED, NULL) : true;
}

bool office_check(struct extract *x)
{
	struct archive *a = open_zip(x->bytes);
	struct archive_entry *entry;
	int64_t unpacked = 0, entries = 0;
	bool ok = a != NULL, damaged = !ok;
	const char *name;
	while (ok && (name = next_entry(a, &entry, &damaged))) {
		ok = ++entries <= MAX_ENTRIES || extract_fail(x, FAILURE_TOO_MANY_ENTRIES, NULL);
		ok = ok && check_entry(x, entry, name, &unpacked);
		if (ok && strcmp(name, "META-INF/manifest.xml") == 0)
			ok = check_manifest(x, a);
	}
	if (a)
		archive_read_free(a);
	if (x->report.security.macros)
		x->report.warnings |= 1u << WARNING_MACROS;
	return ok && damaged ? extract_fail(x, FAILURE_CORRUPT, "the archive is damaged") : ok && !damaged;
}

/* Feeds one entry to the XML reader, counting what really comes out. */
static bool read_part(struct extract *x, struct archive *a, struct office_xml *xml, int64_t *unpacked)
{
	char block[16384];
	ssize_t n = 0;
	bool ok = true;
	while (ok && (n = archive_read_data(a, block, sizeof(block))) > 0) {
		*unpacked += n;
		ok = !is_burst(*unpacked, x->bytes.n) || extract_fail(x, FAILURE_ARCHIVE_BOMB, NULL);
		ok = ok && (office_xml_feed(xml, block, (size_t)n) || extract_fail(x, FAILURE_CORRUPT, xml->fault));
	}
	if (ok && n < 0)
		return extract_fail(x, FAILURE_CORRUPT, "a part of the archive is damaged");
	return ok && (office_xml_end(xml) || extract_fail(x, FAILURE_CORRUPT, xml->fault));
}

static bool take_part(struct extract *x, struct archive *a, const struct part *p, int64_t *unpacked)
{
	struct office_xml xml;
	if (p->use == PART_PAGE && x->report.pages++ > 0)
		text_out_add(&x->text, "\f", 1);
	if (!office_xml_begin(&xml, x, p->use == PART_METADATA))
		return extract_fail(x, FAILURE_PARSE_RESOURCE_LIMIT, NULL);
	bool ok = read_part(x, a, &xml, unpacked);
	office_xml_release(&xml);
	return ok;
}

bool office_take(struct extract *x)
{
	struct archive *a = open_zip(x->bytes);
	struct archive_entry *entry;
	int64_t unpacked = 0;
	bool ok = a != NULL, damaged = !ok;
	const char *name;
	x->report.text_source = "xml";
	while (ok && !x->text.truncated && (name = next_entry(a, &entry, &damaged))) {
		const struct part *p = find_part(x->report.detected, name);
		if (!p)
			continue;
		if (p->use == PART_PAGE && x->report.pages >= x->max_pages) {
			x->report.warnings |= 1u << WARNING_PAGES_TRUNCATED;
			continue;
		}
		ok = take_part(x, a, p, &unpacked);
	}
	if (a)
		archive_read_free(a);
	return ok && damaged ? extract_fail(x, FAILURE_CORRUPT, "the archive is damaged") : ok && !damaged;
}
