/* Documents: raw bytes under an id, for the processors to read. */
#include <unistd.h>

#include "gateway/http/audit.h"
#include "gateway/routes/access.h"
#include "gateway/routes/handlers.h"
#include "lib/docstore/docstore.h"

#define CHUNK_BYTES ((size_t)64 << 10)

/* The organization whose documents are meant: the caller's own; who reaches others may name one with ?org=. */
static struct str meant_org(const struct request *r)
{
	struct str org = request_query(r, "org");

	return org.n && may_reach_org(r, org) ? org : str_from(r->who.org);
}

/* The id from the path; false (and the response written) when no document can have it. */
static bool document_id_or_reply(struct request *r, struct response *res, struct str *id)
{
	struct schema_report report = {.arena = r->arena};

	*id = r->params[0];
	if (docstore_id_ok(*id))
		return true;
	schema_report_add(&report, STR("?documentId"), "must be a letter or digit, then up to 127 letters, digits, '.', '_' or '-'");
	response_invalid(r, res, &report);
	return false;
}

static void write_document(struct response *res, int status, struct str id, const struct docinfo *info, bool created)
{
	struct jwrite w = response_json(res, status);

	jw_open(&w, '{');
	jw_kstr(&w, "documentId", id);
	jw_kint(&w, "bytes", info->bytes);
	jw_kstrz(&w, "sha256", info->sha256);
	jw_kbool(&w, "created", created);
	jw_close(&w, '}');
	response_headerf(res, "ETag", "\"%s\"", info->sha256);
}

/* ---- PUT ---- */

/* If-Match: what the present document must be, "" for what none can be; NULL without the header. "*" means the one that is there, if any
 * (RFC 9110 13.1.1). */
static const char *if_match(struct request *r, const struct docinfo *present)
{
	struct str tag = request_header(r, "If-Match");

	if (!tag.p)
		return NULL;
	tag = str_trim(tag);
	if (str_is(tag, "*"))
		return present ? present->sha256 : "";
	if (tag.n < 2 || tag.p[0] != '"')
		return "";
	return arena_dupz(r->arena, str_sub(tag, 1, tag.n - 2));
}

static int receive(struct request *r, struct docwrite *into, struct err *err)
{
	char *chunk = arena_alloc(r->arena, CHUNK_BYTES);
	int64_t n;

	if (!chunk)
		return err_set(err, ERR_NOMEM, "out of memory");
	while ((n = request_read(r, chunk, CHUNK_BYTES, err)) > 0) {
		int rc = docwrite_add(into, chunk, (size_t)n, err);
		if (rc < 0)
			return rc;
	}
	return (int)n;
}

static void document_failed(struct request *r, struct response *res, const struct err *err)
{
	static const struct {
		int code;
		enum problem problem;
	} rows[] = {
		{ERR_EXISTS, PROBLEM_DOCUMENT_EXISTS}, {ERR_MISMATCH, PROBLEM_PRECONDITION_FAILED}, {ERR_FULL, PROBLEM_STORAGE_FULL},
		{ERR_LIMIT, PROBLEM_TOO_LARGE},	       {ERR_TIMEOUT, PROBLEM_TIMEOUT},		    {ERR_PROTOCOL, PROBLEM_BAD_REQUEST},
	};

	if (err->code == ERR_NOT_FOUND) {
		response_problem(r, res, PROBLEM_NOT_FOUND, "there is no such document, or nothing of this kind was made of it: a document-processing job makes the text");
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].code == err->code) {
			response_problem(r, res, rows[i].problem, "%s", err->text);
			res->close = res->close || err->code == ERR_LIMIT || err->code == ERR_TIMEOUT || err->code == ERR_PROTOCOL;
			return;
		}
	response_error(r, res, err);
}

static void note_document(struct request *r, const char *action, struct str org, struct str id, const struct docinfo *before,
			  const struct docinfo *after)
{
	const char *target = arena_printf(r->arena, "%.*s/%.*s", STR_ARG(org), STR_ARG(id));
	const char *was = before ? arena_printf(r->arena, "{\"sha256\":\"%s\"}", before->sha256) : NULL;
	const char *is = after ? arena_printf(r->arena, "{\"sha256\":\"%s\",\"bytes\":%lld}", after->sha256, (long long)after->bytes) : NULL;

	audit_note(r, action, str_from(target), str_from(was), str_from(is));
}

void documents_put(struct request *r, struct response *res)
{
	const struct services *s = app_services(r->app);
	struct str org = str_from(r->who.org), id;
	struct docinfo info, before;
	bool created = false;
	struct err err = {0}, absent = {0};

	if (!document_id_or_reply(r, res, &id))
		return;
	bool replaces = docstore_stat(s->documents, org, id, &before, &absent) == 0;
	struct docwrite *w = docwrite_begin(s->documents, org, id, &err);
	if (!w) {
		document_failed(r, res, &err);
		return;
	}
	int rc = receive(r, w, &err);
	if (rc < 0)
		docwrite_abort(w);
	else
		rc = docwrite_commit(w, if_match(r, replaces ? &before : NULL), &info, &created, &err);
	if (rc < 0) {
		document_failed(r, res, &err);
		return;
	}
	note_document(r, "document.put", org, id, replaces ? &before : NULL, &info);
	bool is_new = created && !replaces;
	write_document(res, is_new ? 201 : 200, id, &info, created);
	if (is_new)
		response_headerf(res, "Location", "/api/documents/%.*s", STR_ARG(id));
}

/* ---- GET ---- */

static void send_file(struct response *res, int fd, int64_t bytes, const char *content_type)
{
	res->status = 200;
	res->content_type = content_type;
	res->file_fd = fd;
	res->file_bytes = bytes;
}

void documents_get(struct request *r, struct response *res)
{
	const struct services *s = app_services(r->app);
	struct str id;
	struct docinfo info;
	struct err err = {0};
	int fd;

	if (!document_id_or_reply(r, res, &id))
		return;
	if (docstore_get(s->documents, meant_org(r), id, &fd, &info, &err) < 0) {
		document_failed(r, res, &err);
		return;
	}
	if (response_etag_exact(r, res, str_from(info.sha256))) {
		close(fd);
		return;
	}
	/* Never shown in place: the bytes are a stranger's. */
	response_headerf(res, "Content-Disposition", "attachment; filename=\"%.*s\"", STR_ARG(id));
	send_file(res, fd, info.bytes, "application/octet-stream");
}

static void send_derived(struct request *r, struct response *res, const char *kind, const char *content_type)
{
	const struct services *s = app_services(r->app);
	struct str id;
	struct err err = {0};
	int64_t bytes;
	int fd;

	if (!document_id_or_reply(r, res, &id))
		return;
	if (docstore_get_derived(s->documents, meant_org(r), id, kind, &fd, &bytes, &err) < 0)
		document_failed(r, res, &err);
	else
		send_file(res, fd, bytes, content_type);
}

void documents_text(struct request *r, struct response *res)
{
	send_derived(r, res, "text", "text/plain; charset=utf-8");
}

void documents_findings(struct request *r, struct response *res)
{
	send_derived(r, res, "findings.json", "application/json");
}

/* ---- DELETE ---- */

void documents_delete(struct request *r, struct response *res)
{
	const struct services *s = app_services(r->app);
	struct str org = meant_org(r), id;
	struct docinfo before;
	struct err err = {0};

	if (!document_id_or_reply(r, res, &id))
		return;
	if (docstore_stat(s->documents, org, id, &before, &err) < 0 || docstore_delete(s->documents, org, id, &err) < 0) {
		document_failed(r, res, &err);
		return;
	}
	note_document(r, "document.delete", org, id, &before, NULL);
	res->status = 204;
}
