/* What a document is, by its bytes. libmagic alone is not enough: it takes some office documents for plain archives, does not look for a
 * PDF header past a few junk bytes, and knows UTF-16 only by its mark; so its answer is refined. */
#include <magic.h>

#include "processors/helper/extract.h"

#define SNIFF_BYTES ((size_t)1 << 20)
#define PDF_HEADER_WITHIN 1024 /* as readers have always allowed */

static struct str ask_libmagic(struct extract *x, struct str head)
{
	magic_t m = magic_open(MAGIC_MIME_TYPE | MAGIC_ERROR | MAGIC_NO_CHECK_COMPRESS | MAGIC_NO_CHECK_TAR);
	if (!m)
		return STR_NONE;
	struct str found = STR_NONE;
	if (magic_load(m, NULL) == 0) {
		const char *name = magic_buffer(m, head.p, head.n);
		if (name)
			found = doctype_normal(str_from(name), x->arena);
	}
	magic_close(m);
	return found;
}

static bool has_pdf_header(struct str head)
{
	size_t n = head.n < PDF_HEADER_WITHIN ? head.n : PDF_HEADER_WITHIN;
	return memmem(head.p, n, "%PDF-", 5) != NULL;
}

static bool may_be_office(struct str type)
{
	return str_is(type, "application/zip") || str_is(type, "application/octet-stream") || doctype_find(type)->kind == DOC_OFFICE;
}

/* UTF-16 without a mark, or with a broken unit somewhere: libmagic takes its zeros for binary data. */
static bool is_utf16(struct str head)
{
	size_t mark;
	const char *charset = text_charset(head, &mark);
	return charset && strncmp(charset, "UTF-16", 6) == 0;
}

static struct str refine(struct str type, struct str bytes, struct str head)
{
	if (str_starts(head, STR("#!")))
		return STR("text/x-shellscript");
	if (str_is(type, "application/octet-stream") && has_pdf_header(head))
		return STR("application/pdf");
	if (str_starts(head, STR("PK\x03\x04")) && may_be_office(type)) {
		struct str office = office_type(bytes);
		return office.p ? office : STR("application/zip");
	}
	if (str_is(type, "application/octet-stream") && is_utf16(head))
		return STR("text/plain");
	/* Guesses at programming languages and the like, all of them text. */
	if (str_starts(type, STR("text/")) && !*doctype_find(type)->mime)
		return STR("text/plain");
	return type;
}

/* An extension that belongs to another type is worth a remark, no more: names are free. */
static void check_extension(struct extract *x, const struct doctype *type)
{
	if (x->extension.n > 0 && *type->extensions && !doctype_has_extension(type, x->extension))
		x->report.warnings |= 1u << WARNING_EXTENSION_MISMATCH;
}

bool sniff(struct extract *x)
{
	struct report *r = &x->report;
	struct str head = str_sub(x->bytes, 0, x->bytes.n < SNIFF_BYTES ? x->bytes.n : SNIFF_BYTES);
	struct str declared = doctype_normal(x->declared, x->arena);
	struct str found = ask_libmagic(x, head);
	if (!found.p || !declared.p)
		return extract_fail(x, FAILURE_HELPER_FAILED, "the type database cannot be used");
	r->detected = refine(found, x->bytes, head);
	r->verdict = doctype_verdict(declared, r->detected);
	const struct doctype *type = doctype_find(r->detected);
	struct str first = str_from(type->extensions);
	r->extension = arena_dupz(x->arena, str_cut(&first, ' '));
	if (!r->extension)
		return extract_fail(x, FAILURE_PARSE_RESOURCE_LIMIT, NULL);
	check_extension(x, type);

	bool differs = r->verdict == MIME_DIFFERENT;
	if (type->kind == DOC_FORBIDDEN || (type->kind == DOC_MARKUP && differs))
		return extract_fail(x, FAILURE_FORBIDDEN_TYPE,
				    arena_printf(x->arena, "the document is %.*s", STR_ARG(r->detected)));
	if (differs)
		return extract_fail(x, FAILURE_MIME_MISMATCH,
				    arena_printf(x->arena, "declared as %.*s, but it is %.*s", STR_ARG(declared), STR_ARG(r->detected)));
	if (type->kind == DOC_UNSUPPORTED || type->kind == DOC_MARKUP)
		return extract_fail(x, FAILURE_UNSUPPORTED_TYPE,
				    arena_printf(x->arena, "no text can be taken from %.*s", STR_ARG(r->detected)));
	return true;
}
