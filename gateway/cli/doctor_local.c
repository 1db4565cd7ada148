/* What the doctor finds on this machine. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "gateway/cli/doctor.h"
#include "gateway/declared.h"
#include "gateway/settings.h"
#include "lib/auth/auth.h"
#include "lib/base/clock.h"
#include "lib/base/secret_file.h"
#include "processors/compliance/rules.h"
#include "processors/document/helper.h"

#define SPARE_DESCRIPTORS 256 /* beside one for each connection: stores, documents, tools, logs */
#define LEAST_FREE_BYTES (UINT64_C(1) << 30)
#define PROBE_MS 10000

bool doctor_in_path(const char *program)
{
	const char *path = getenv("PATH");
	struct str rest = str_from(path ? path : "/usr/bin:/bin");
	char file[512];
	while (rest.p) {
		struct str folder = str_cut(&rest, ':');
		int n = snprintf(file, sizeof(file), "%.*s/%s", STR_ARG(folder), program);
		if (n > 0 && n < (int)sizeof(file) && access(file, X_OK) == 0)
			return true;
	}
	return false;
}

void doctor_queues(struct doctor *d)
{
	struct declarations queues;
	struct err err = {0};
	if (declared_load(&queues, d->cfg, &err) < 0) {
		doctor_say(d, DOCTOR_FAIL, "correct the declaration; sluice dump queues shows what is understood", "%s", err.text);
		return;
	}
	doctor_say(d, DOCTOR_OK, NULL, "%zu queues are declared%s%s", queues.count, *d->cfg->queues_file ? ", some by " : "", d->cfg->queues_file);
	declarations_release(&queues);
}

/* ---- keys ---- */

static void look_at_mode(struct doctor *d)
{
	char path[512];
	struct stat st;
	int n = snprintf(path, sizeof(path), "%s/" SECRET_FILE_TOKENS, d->cfg->data_dir);
	if (n < (int)sizeof(path) && stat(path, &st) == 0 && (st.st_mode & 077))
		doctor_say(d, DOCTOR_FAIL, "chmod 600 it, or remove it for a new one (which ends all tokens)", "others may read %s", path);
}

/* 0: there is a secret; ERR_NOT_FOUND: it is still to be made. */
static int find_secret(const struct doctor *d, struct buf *secret, struct err *err)
{
	if (!*d->cfg->jwt_secret)
		return secret_file_read(d->cfg->data_dir, SECRET_FILE_TOKENS, secret, err);
	buf_addz(secret, d->cfg->jwt_secret);
	return 0;
}

void doctor_keys(struct doctor *d)
{
	struct buf secret = BUF_INIT;
	struct err err = {0};
	int rc = find_secret(d, &secret, &err);
	bool others = *d->cfg->jwt_public_key_file || *d->cfg->jwt_keys_file;
	struct auth_options o = settings_auth(d->cfg, buf_str(&secret));
	struct auth *auth = rc == 0 || (rc == ERR_NOT_FOUND && others) ? auth_new(&o, &err) : NULL;
	if (!auth && (rc != ERR_NOT_FOUND || others))
		doctor_say(d, DOCTOR_FAIL, "the gateway does not start before that is changed", "%s", err.text);
	else if (rc == ERR_NOT_FOUND)
		doctor_say(d, DOCTOR_OK, NULL, "JWT_SECRET is unset: a secret is made in %s at the first start", d->cfg->data_dir);
	else
		doctor_say(d, DOCTOR_OK, NULL, "the secret is strong%s", others ? ", and the key files are in order" : "");
	if (!*d->cfg->jwt_secret)
		look_at_mode(d);
	if (d->cfg->dev_login)
		doctor_say(d, DOCTOR_WARN, "unset DEV_LOGIN outside of development", "DEV_LOGIN=1: anybody who reaches the port may become an administrator");
	auth_free(auth);
	if (secret.p)
		OPENSSL_cleanse(secret.p, secret.n);
	buf_release(&secret);
}

/* ---- documents ---- */

static void look_at_room(struct doctor *d, const char *dir)
{
	struct statvfs v;
	if (statvfs(dir, &v) < 0)
		return;
	uint64_t free_bytes = (uint64_t)v.f_bavail * v.f_frsize;
	doctor_say(d, free_bytes < LEAST_FREE_BYTES ? DOCTOR_WARN : DOCTOR_OK,
		   free_bytes < LEAST_FREE_BYTES ? "make room, or set SLUICE_DOC_MAX_AGE" : NULL, "%llu MiB are free in %s",
		   (unsigned long long)(free_bytes >> 20), dir);
}

void doctor_documents(struct doctor *d)
{
	const char *dir = d->cfg->documents_dir;
	struct buf marker = BUF_INIT;
	struct stat st;
	buf_addf(&marker, "%s/.sluice-store", dir);
	if (marker.failed)
		doctor_say(d, DOCTOR_FAIL, NULL, "out of memory");
	else if (stat(dir, &st) < 0)
		doctor_say(d, DOCTOR_OK, NULL, "%s is made at the first start", dir);
	else if (!S_ISDIR(st.st_mode) || access(dir, R_OK | W_OK | X_OK) < 0)
		doctor_say(d, DOCTOR_FAIL, "give the folder to the gateway's user, or set SLUICE_DOCUMENTS_DIR", "%s cannot be written", dir);
	else if (access(marker.p, F_OK) == 0 && access(marker.p, R_OK) < 0)
		doctor_say(d, DOCTOR_FAIL, "give the file to the gateway's user", "%s cannot be read, so api and worker cannot tell whether they share it",
			   marker.p);
	else
		look_at_room(d, dir);
	buf_release(&marker);
}

/* ---- programs ---- */

static const struct {
	const char *program, *advice;
} tools[] = {
	{"pdftotext", "apt-get install poppler-utils; PDF documents fail without it"},
	{"pdfinfo", "apt-get install poppler-utils; PDF documents fail without it"},
	{"qpdf", "apt-get install qpdf; PDF documents fail without it"},
};

void doctor_tools(struct doctor *d)
{
	for (size_t i = 0; i < ARRAY_LEN(tools); i++)
		if (doctor_in_path(tools[i].program))
			doctor_say(d, DOCTOR_OK, NULL, "%s is there", tools[i].program);
		else
			doctor_say(d, DOCTOR_WARN, tools[i].advice, "%s is missing", tools[i].program);
}

/* The helper tries to reach the network from inside its cage. */
void doctor_sandbox(struct doctor *d)
{
	struct buf path = BUF_INIT;
	struct err err = {0};
	int rc = settings_program_dir(&path, &err);
	buf_addz(&path, "sluice-helper");
	bool strict = d->cfg->doc_sandbox == CONFIG_SANDBOX_STRICT;
	const char *const argv[] = {"sluice-helper", "selftest", "connect", "--sandbox", strict ? "strict" : "best-effort", NULL};
	struct helper_call call = {
		.path = path.p, .argv = argv, .input_fd = -1, .cancel_fd = -1, .deadline_mono_ms = clock_mono_ms() + PROBE_MS};
	struct helper_end end;
	if (rc < 0 || path.failed || access(path.p, X_OK) < 0) {
		doctor_say(d, DOCTOR_FAIL, "install sluice-helper beside sluice; documents fail without it", "sluice-helper is missing");
		buf_release(&path);
		return;
	}
	helper_run(&call, &end);
	if (end.failure == FAILURE_NONE && memmem(end.report.p, end.report.n, "landlock", 8) && memmem(end.report.p, end.report.n, "seccomp", 7))
		doctor_say(d, DOCTOR_OK, NULL, "documents are read in a sandbox (Landlock and seccomp)");
	else if (end.failure == FAILURE_NONE)
		doctor_say(d, DOCTOR_WARN, "use a kernel with Landlock (5.13 or newer) that allows it", "documents are read in a weak sandbox: %.*s",
			   STR_ARG(str_trim(buf_str(&end.report))));
	else
		doctor_say(d, strict ? DOCTOR_FAIL : DOCTOR_WARN, "a container's seccomp profile may forbid it",
			   "the sandbox of documents cannot be had: %.*s", (int)(end.remarks.n < 200 ? end.remarks.n : 200),
			   end.remarks.p ? end.remarks.p : "");
	helper_end_release(&end);
	buf_release(&path);
}

/* ---- rules ---- */

/* Every rule's own examples, under the engine that runs everywhere. */
static void try_rules(struct doctor *d, const struct rulebook *rules)
{
	struct buf faults = BUF_INIT;
	struct err err = {0};
	struct scanner *s = scanner_new(SCANNER_PCRE2, rulebook_phrases(rules), rulebook_phrases_count(rules), &err);
	int examples = s ? rulebook_check(rules, s, &faults, &err) : err.code;
	if (examples < 0)
		doctor_say(d, DOCTOR_FAIL, NULL, "the rules cannot be tried: %s", err.text);
	else if (faults.n)
		doctor_say(d, DOCTOR_FAIL, "correct the rule or its example", "%.*s", STR_ARG(str_trim(buf_str(&faults))));
	else
		doctor_say(d, DOCTOR_OK, NULL, "%zu compliance frameworks are loaded, and their %d examples are answered rightly", rulebook_count(rules),
			   examples);
	scanner_free(s);
	buf_release(&faults);
}

void doctor_rules(struct doctor *d)
{
	struct err err = {0};
	struct rulebook *rules = rulebook_new(d->cfg->compliance_rules_dir, &err);
	if (rules)
		try_rules(d, rules);
	else
		doctor_say(d, DOCTOR_FAIL, "correct the file; jobs are not run before that", "%s", err.text);
	rulebook_free(rules);
}

/* ---- system ---- */

void doctor_descriptors(struct doctor *d)
{
	struct rlimit limit;
	uint64_t needed = (uint64_t)d->cfg->http_threads + SPARE_DESCRIPTORS;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	if (limit.rlim_max < needed)
		doctor_say(d, DOCTOR_FAIL, "raise the limit (systemd: LimitNOFILE=, Docker: --ulimit nofile=), or lower SLUICE_HTTP_THREADS",
			   "%llu files may be open, %llu are needed", (unsigned long long)limit.rlim_max, (unsigned long long)needed);
	else
		doctor_say(d, DOCTOR_OK, NULL, "%llu files may be open, %llu are needed", (unsigned long long)limit.rlim_max,
			   (unsigned long long)needed);
}

void doctor_clock(struct doctor *d)
{
	struct timex t = {0};
	int state = adjtimex(&t);
	if (state == TIME_ERROR || (t.status & STA_UNSYNC))
		doctor_say(d, DOCTOR_WARN, "run chrony or systemd-timesyncd; tokens, delays and locks depend on the clock",
			   "the system does not know whether its clock is right");
	else
		doctor_say(d, DOCTOR_OK, NULL, "the clock is synchronized");
}
