/* sluice-helper: everything that parses foreign documents, in a short-lived process in a cage. The gateway runs it; by hand only its
 * selftest is of use. The protocol is in processors/document/protocol.h. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/config/options.h"
#include "processors/helper/extract.h"
#include "processors/helper/sandbox.h"
#include "processors/helper/selftest.h"

#define EXIT_USAGE 64

/* The input twice (mapped by us, read by a tool) plus what reading needs. */
#define ARENA_BYTES ((size_t)8 << 20)
#define FILE_SLACK_BYTES ((uint64_t)64 << 10)

struct arguments {
	int64_t parent, timeout_ms, max_text, max_pages, memory, cpu_s;
	const char *declared, *extension, *sandbox;
	bool help;
};

static const char about[] = "Reads one foreign document in a sandbox; run by sluice, not by hand.\n"
			    "'sluice-helper selftest PROBE' attempts something forbidden from inside the sandbox and says whether it was\n"
			    "refused: status 0 if so, 1 if not.";

static int parse(struct arguments *a, int argc, char **argv, struct err *err)
{
	const struct option_row rows[] = {
		{"parent", OPTION_INT, &a->parent, "PID", "end when this process does; it must be the parent"},
		{"declared", OPTION_STRING, &a->declared, "TYPE", "the media type that the document is said to have"},
		{"extension", OPTION_STRING, &a->extension, "EXT", "the extension of its name"},
		{"timeout-ms", OPTION_INT, &a->timeout_ms, "N", "time for everything"},
		{"max-text", OPTION_INT, &a->max_text, "BYTES", "text that is kept"},
		{"max-pages", OPTION_INT, &a->max_pages, "N", "pages that are read"},
		{"memory", OPTION_INT, &a->memory, "BYTES", "address space of each process"},
		{"cpu-s", OPTION_INT, &a->cpu_s, "N", "processor time of each process"},
		{"sandbox", OPTION_STRING, &a->sandbox, "MODE", "strict or best-effort"},
		{"help", OPTION_FLAG, &a->help, NULL, "show this text"},
		{0},
	};
	const struct options o = {.usage = "sluice-helper document|selftest [options]", .about = about, .rows = rows, .max_arguments = 1};
	int rest = options_parse(&o, argc, argv, err);
	if (rest < 0 || !a->help)
		return rest;
	struct buf text = BUF_INIT;
	options_help(&o, &text);
	buf_addz(&text, "\nProbes: ");
	selftest_names(&text);
	puts(text.p ? text.p : "");
	buf_release(&text);
	return rest;
}

/* The report is small and stdout a pipe; a reader that is gone makes it pointless. */
static void print(const struct buf *b)
{
	size_t done = 0;
	while (done < b->n) {
		ssize_t n = write(STDOUT_FILENO, b->p + done, b->n - done);
		if (n < 0 && errno != EINTR)
			return;
		done += n > 0 ? (size_t)n : 0;
	}
}

static int enter(const struct arguments *a, int input_fd, char level[SANDBOX_LEVEL_SIZE], struct err *err)
{
	const struct sandbox_options o = {
		.input_fd = input_fd,
		.parent = (pid_t)a->parent,
		.file_bytes = (uint64_t)a->max_text + FILE_SLACK_BYTES,
		.memory_bytes = (uint64_t)a->memory,
		.cpu_s = (uint64_t)a->cpu_s,
		.strict = strcmp(a->sandbox, "strict") == 0,
	};
	return sandbox_enter(&o, level, err);
}

static bool map_input(struct extract *x)
{
	struct stat st;
	if (fstat(HELPER_FD_INPUT, &st) < 0 || !S_ISREG(st.st_mode))
		return extract_fail(x, FAILURE_HELPER_FAILED, "the document is no file");
	if (st.st_size == 0)
		return extract_fail(x, FAILURE_EMPTY_FILE, NULL);
	void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, HELPER_FD_INPUT, 0);
	if (p == MAP_FAILED)
		return extract_fail(x, FAILURE_PARSE_RESOURCE_LIMIT, "the document does not fit into the memory limit");
	x->bytes = (struct str){p, (size_t)st.st_size};
	return true;
}

static int run_document(const struct arguments *a)
{
	char level[SANDBOX_LEVEL_SIZE];
	struct arena arena;
	struct err err = {0};
	arena_init(&arena, ARENA_BYTES);
	struct extract x = {
		.declared = str_from(a->declared),
		.extension = str_from(a->extension),
		.deadline_mono_ms = clock_mono_ms() + a->timeout_ms,
		.max_pages = a->max_pages,
		.memory_bytes = (uint64_t)a->memory,
		.arena = &arena,
		.report = {.sandbox = level},
	};
	text_out_init(&x.text, HELPER_FD_TEXT, (uint64_t)a->max_text);
	if (enter(a, HELPER_FD_INPUT, level, &err) < 0)
		extract_fail(&x, FAILURE_SANDBOX_FAILED, err.text);
	else if (map_input(&x))
		extract_run(&x);

	struct buf out = BUF_INIT;
	report_write(&x.report, &x.text, &out);
	print(&out);
	bool failed = out.failed;
	buf_release(&out);
	arena_release(&arena);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int run_selftest(const struct arguments *a, const char *probe)
{
	char level[SANDBOX_LEVEL_SIZE];
	struct err err = {0};
	struct buf out = BUF_INIT;
	if (enter(a, -1, level, &err) < 0) {
		fprintf(stderr, "sluice-helper: %s\n", err.text);
		return EXIT_FAILURE;
	}
	if (selftest_run(probe, level, &out) < 0) {
		fprintf(stderr, "sluice-helper: no probe is called %s\n", probe);
		return EXIT_USAGE;
	}
	print(&out);
	bool refused = memmem(out.p, out.n, "\"refused\":true", 14) != NULL;
	buf_release(&out);
	return refused ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	struct arguments a = {
		.timeout_ms = 30000,
		.max_text = 16 << 20,
		.max_pages = 2000,
		.memory = 512 << 20,
		.cpu_s = 20,
		.declared = "application/octet-stream",
		.extension = "",
		.sandbox = "best-effort",
	};
	struct err err = {0};
	bool document = argc > 1 && strcmp(argv[1], "document") == 0;
	bool selftest = argc > 1 && strcmp(argv[1], "selftest") == 0;
	int rest = parse(&a, argc - (document || selftest), argv + (document || selftest), &err);
	if (a.help)
		return EXIT_SUCCESS;
	/* Nothing is buffered, and the leak checker's exit handler cannot work in a cage. */
	if (rest == 0 && document)
		_exit(run_document(&a));
	if (rest == 1 && selftest)
		_exit(run_selftest(&a, argv[2]));
	fprintf(stderr, "sluice-helper: %s; see --help\n", rest < 0 ? err.text : "say document, or selftest and a probe");
	return EXIT_USAGE;
}
