#include "gateway/sample.h"

#include "lib/base/panic.h"
#include "lib/docstore/docstore.h"
#include "lib/log/log.h"

#define OBJECTS 9
#define WIDTH 600
#define HEIGHT 565

/* A PDF being written: ISO 32000-1, 7.5. */
struct pdf {
	struct buf *b;
	size_t at[OBJECTS + 1]; /* where each object begins, by its number */
	unsigned n;
};

/* Objects must be made in the order of these numbers. */
enum { CATALOG = 1, PAGES, FONT, INFO, LETTER, LETTER_TEXT, PLATE, PLATE_TEXT, PICTURE };

static const char *const LETTER_LINES[] = {
	"Membership agreement",
	"",
	"between Harbour Rowing Club and Ada Example, date of birth 12 March 1985,",
	"e-mail ada@example.org, phone +44 20 7946 0123.",
	"",
	"1. The member pays the yearly fee of 120 EUR by direct debit from the account",
	"   IBAN GB82 WEST 1234 5698 7654 32, or by card 4111 1111 1111 1111.",
	"2. The club keeps the member's personal data for as long as the membership lasts,",
	"   and for ten years after that where the law on bookkeeping asks for it.",
	"3. The member may ask at any time which personal data is kept, and have it corrected",
	"   or erased; the consent to photographs can be withdrawn.",
	"4. A health certificate is asked for before the first race: no diagnosis, only whether",
	"   the member is fit to row.",
	"",
	"Everything in this document is made up. It is here to try things with.",
};

static const char *const PLATE_LINES[] = {"Enclosure: the boathouse at dusk, by somebody without a camera."};

static void object(struct pdf *p, unsigned number)
{
	bug_on(number != p->n + 1);
	p->at[number] = p->b->n;
	p->n = number;
	buf_addf(p->b, "%u 0 obj\n", number);
}

static void object_text(struct pdf *p, unsigned number, const char *text)
{
	object(p, number);
	buf_addz(p->b, text);
	buf_addz(p->b, "\nendobj\n");
}

static void object_stream(struct pdf *p, unsigned number, const char *members, const struct buf *data)
{
	object(p, number);
	buf_addf(p->b, "<< %s /Length %zu >>\nstream\n", members, data->n);
	buf_adds(p->b, buf_str(data));
	buf_addz(p->b, "\nendstream\nendobj\n");
	p->b->failed = p->b->failed || data->failed;
}

static void add_lines(struct buf *b, const char *const *lines, size_t n)
{
	buf_addz(b, "BT /F1 12 Tf 18 TL 60 770 Td\n");
	for (size_t i = 0; i < n; i++)
		buf_addf(b, "(%s) Tj T*\n", lines[i]); /* no parentheses or backslashes in them */
	buf_addz(b, "ET\n");
}

static void object_lines(struct pdf *p, unsigned number, const char *const *lines, size_t n, const char *more)
{
	struct buf text = BUF_INIT;

	add_lines(&text, lines, n);
	buf_addz(&text, more);
	object_stream(p, number, "", &text);
	buf_release(&text);
}

/* An evening sky over water. It makes up the size. */
static void object_picture(struct pdf *p)
{
	struct buf pixels = BUF_INIT;

	buf_reserve(&pixels, (size_t)WIDTH * HEIGHT * 3);
	for (unsigned y = 0; y < HEIGHT; y++) {
		unsigned mirrored = y < HEIGHT * 2 / 3 ? y : HEIGHT * 4 / 3 - y;

		for (unsigned x = 0; x < WIDTH; x++) {
			unsigned wave = y == mirrored ? 0 : (x * 7 + y * y) % 24;

			buf_addc(&pixels, (char)(unsigned char)(40 + mirrored / 2));
			buf_addc(&pixels, (char)(unsigned char)(30 + mirrored / 4 + wave));
			buf_addc(&pixels, (char)(unsigned char)(150 - mirrored / 4 + wave));
		}
	}
	object_stream(p, PICTURE, "/Type /XObject /Subtype /Image /Width 600 /Height 565 /ColorSpace /DeviceRGB /BitsPerComponent 8", &pixels);
	buf_release(&pixels);
}

static void objects(struct pdf *p)
{
	static const char page[] = "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << /Font << /F1 3 0 R >>";
	char text[256];

	object_text(p, CATALOG, "<< /Type /Catalog /Pages 2 0 R /Lang (en) >>");
	object_text(p, PAGES, "<< /Type /Pages /Kids [5 0 R 7 0 R] /Count 2 >>");
	object_text(p, FONT, "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>");
	object_text(p, INFO, "<< /Title (Membership agreement) /Author (Harbour Rowing Club) /Producer (Sluice) >>");
	snprintf(text, sizeof(text), "%s >> /Contents 6 0 R >>", page);
	object_text(p, LETTER, text);
	object_lines(p, LETTER_TEXT, LETTER_LINES, ARRAY_LEN(LETTER_LINES), "");
	snprintf(text, sizeof(text), "%s /XObject << /Im1 9 0 R >> >> /Contents 8 0 R >>", page);
	object_text(p, PLATE, text);
	object_lines(p, PLATE_TEXT, PLATE_LINES, ARRAY_LEN(PLATE_LINES), "q 475 0 0 447 60 290 cm /Im1 Do Q\n");
	object_picture(p);
}

/* The cross-reference table, which begins at `start`. */
static void tail(const struct pdf *p, struct buf *out, size_t start)
{
	buf_addf(out, "xref\n0 %u\n0000000000 65535 f \n", OBJECTS + 1);
	for (unsigned i = 1; i <= OBJECTS; i++)
		buf_addf(out, "%010zu 00000 n \n", p->at[i]);
	buf_addf(out, "trailer\n<< /Size %u /Root 1 0 R /Info 4 0 R >>\nstartxref\n%07zu\n%%%%EOF\n", OBJECTS + 1, start);
}

void sample_pdf(struct buf *out)
{
	struct pdf p = {.b = out};
	struct buf end = BUF_INIT;

	buf_addz(out, "%PDF-1.4\n%\xe2\xe3\xcf\xd3\n");
	objects(&p);
	tail(&p, &end, 0);
	if (out->failed || end.failed) {
		buf_release(&end);
		return;
	}
	bug_on(out->n + end.n + 2 > SAMPLE_BYTES);
	/* what is left of the size is a comment */
	buf_addc(out, '%');
	while (out->n + 1 + end.n < SAMPLE_BYTES)
		buf_addc(out, ' ');
	buf_addc(out, '\n');
	buf_release(&end);
	tail(&p, out, out->n);
}

static int store(struct docstore *documents, struct str bytes, struct err *err)
{
	struct docwrite *w = docwrite_begin(documents, STR("default"), STR(SAMPLE_ID), err);
	struct docinfo info;
	bool created;

	if (!w)
		return ERR_IO;
	int rc = docwrite_add(w, bytes.p, bytes.n, err);
	if (rc < 0) {
		docwrite_abort(w);
		return rc;
	}
	return docwrite_commit(w, NULL, &info, &created, err);
}

void sample_store(struct docstore *documents, struct log *log)
{
	struct buf pdf = BUF_INIT;
	struct docinfo info;
	struct err err = {0};
	int rc = docstore_stat(documents, STR("default"), STR(SAMPLE_ID), &info, NULL);

	if (rc == 0)
		return;
	sample_pdf(&pdf);
	rc = pdf.failed ? err_set(&err, ERR_NOMEM, "out of memory") : store(documents, buf_str(&pdf), &err);
	if (rc < 0)
		LOG(log, LOG_WARN, "sample_not_stored", log_strz("documentId", SAMPLE_ID), log_err(&err));
	else
		LOG(log, LOG_INFO, "sample_stored", log_strz("documentId", SAMPLE_ID), log_int("bytes", SAMPLE_BYTES));
	buf_release(&pdf);
}
