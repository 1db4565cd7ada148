/* The scanner: what it finds and leaves, that both engines agree, and how well it does on labelled text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/labelled.h"
#include "lib/base/clock.h"
#include "processors/compliance/redact.h"

#define DOCUMENTS 400
#define BIG_BYTES ((size_t)2 << 20)

struct world {
	struct scanner *fast, *plain;
};

static const struct scan_options usual = {.least_percent = 50, .max_findings = 100000};

static int make_world(void **state)
{
	static const struct str phrases[] = {{"material weakness", 17}};
	static struct world w;
	struct err err = {0};
	int64_t begin = clock_mono_ms();
	w.fast = scanner_new(SCANNER_AUTO, phrases, 1, &err);
	print_message("# %s %s compiled in %lld ms\n", w.fast ? scanner_engine_name(w.fast) : err.text, w.fast ? scanner_engine_version(w.fast) : "",
		      (long long)(clock_mono_ms() - begin));
	w.plain = scanner_new(SCANNER_PCRE2, phrases, 1, &err);
	*state = &w;
	return w.fast && w.plain ? 0 : -1;
}

static int end_world(void **state)
{
	struct world *w = *state;
	scanner_free(w->fast);
	scanner_free(w->plain);
	return 0;
}

static struct findings scan(struct scanner *s, struct str text)
{
	struct findings found;
	struct err err = {0};
	assert_int_equal(scanner_run(s, text, &usual, &found, &err), 0);
	return found;
}

/* ---- single sentences ---- */

/* wanted: "ENTITY=value" of all findings, divided by "; ". */
static const struct {
	const char *text, *wanted;
} sentences[] = {
	{"write to jane.doe@acme-widgets.io.", "EMAIL=jane.doe@acme-widgets.io"},
	{"jane@example.com and root@localhost and a..b@acme.io", ""},
	{"call +49 30 901820 now", "PHONE=+49 30 901820"},
	{"call (212) 555-0142 now", "PHONE=(212) 555-0142"},
	{"phone 212 555 0142", "PHONE=212 555 0142"},
	{"a sum of 2125550142 units", ""},
	{"1+1=2, C++ and +5", ""},
	{"Visa 4111-1111-1111-1111.", "PAN=4111-1111-1111-1111"},
	{"378282246310005", "PAN=378282246310005"},
	{"3782 822463 10005", "PAN=3782 822463 10005"},
	{"4111111111111112", ""},
	{"id a4111111111111111 and 41111111111111110000", ""},
	{"card 411111******1111", "PAN=411111******1111"},
	{"IBAN GB82 WEST 1234 5698 7654 32, thanks", "IBAN=GB82 WEST 1234 5698 7654 32"},
	{"DE89370400440532013001", ""},
	{"BIC DEUTDEFF500", "BIC=DEUTDEFF500"},
	{"the word COMMERCE and HANDBOOK", ""},
	{"SSN 536-90-4399", "SSN=536-90-4399"},
	{"SSN 666-90-4399, 536-00-4399", ""},
	{"536904399", ""},
	{"social security 536904399", "SSN=536904399"},
	{"server 81.169.145.78 answers", "IP_ADDRESS=81.169.145.78"},
	{"version 81.169.145.78, 10.0.0.1, 127.0.0.1, 1.2.3.4.5, 300.1.2.3", ""},
	{"at 2a00:1450:4001:82a::200e it is", "IP_ADDRESS=2a00:1450:4001:82a::200e"},
	{"std::string at 12:34:56 and 2001:db8::1 and ::1", ""},
	{"born 24/12/1969 in Ulm", "DATE_OF_BIRTH=24/12/1969"},
	{"on 24/12/1969 in Ulm", ""},
	{"born 31/02/1969", ""},
	{"NHS number 943 476 5919", "NHS_NUMBER=943 476 5919"},
	{"NPI 1234567893", "NPI=1234567893"},
	{"National Insurance AB 12 34 56 C", "NINO=AB 12 34 56 C"},
	{"VIN 1M8GDM9AXKP042788", "VIN=1M8GDM9AXKP042788"},
	{"MRN: 00482913", "MEDICAL_RECORD=00482913"},
	{"diagnosis E11.9", "DIAGNOSIS_CODE=E11.9"},
	{"paragraph E11.9", ""},
	{"key AKIAQ6WFT5XBV2ZK7MN4", "CLOUD_KEY=AKIAQ6WFT5XBV2ZK7MN4"},
	{"AKIAAAAAAAAAAAAAAAAA", ""},
	{"password: tR7!kq92LmZp", "GENERIC_SECRET=tR7!kq92LmZp"},
	{"password: ${DB_PASSWORD}, secret = example123x, token: null", ""},
	{"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJlc2lnbmF0dXJl", "JWT=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJlc2lnbmF0dXJl"},
	{";4111111111111111=28051010000000000000?", "TRACK_DATA=;4111111111111111=28051010000000000000?"},
	{"Patient: Maria Schmidt", "PERSON=Maria Schmidt"},
	{"Dr. Jos\xc3\xa9 Ca\xc3\xb1izares said", "PERSON=Jos\xc3\xa9 Ca\xc3\xb1izares"},
	{"they treat Type 2\n diabetes", "HEALTH_TERM=Type 2\n diabetes"},
	{"a Material\r\n\tweakness is no data", ""},
};

static void list(struct str text, const struct findings *f, struct buf *out)
{
	for (size_t i = 0; i < f->n; i++)
		if (f->items[i].entity != ENTITY_PHRASE)
			buf_addf(out, "%s%s=%.*s", out->n ? "; " : "", entity_infos[f->items[i].entity].name, (int)(f->items[i].end - f->items[i].start),
				 text.p + f->items[i].start);
}

static void finds(void **state)
{
	const struct world *w = *state;
	struct scanner *const both[] = {w->fast, w->plain};
	for (size_t e = 0; e < ARRAY_LEN(both); e++)
		for (size_t i = 0; i < ARRAY_LEN(sentences); i++) {
			struct str text = str_from(sentences[i].text);
			struct buf got = BUF_INIT;
			struct findings f = scan(both[e], text);
			list(text, &f, &got);
			if (!str_is(buf_str(&got), sentences[i].wanted))
				fail_msg("%s: \"%s\": %s", scanner_engine_name(both[e]), sentences[i].text, got.n ? got.p : "(nothing)");
			findings_release(&f);
			buf_release(&got);
		}
}

static void samples_hide(void **state)
{
	static const struct {
		const char *text, *sample;
	} cases[] = {
		{"4111 1111 1111 1111", "411111******1111"}, {"DE89370400440532013000", "DE89**************3000"}, {"SSN 536-90-4399", "*******99"},
		{"jane.doe@acme-widgets.io", "j****************"}, {"password: tR7!kq92LmZp", "***********"},
	};
	const struct world *w = *state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct str text = str_from(cases[i].text);
		struct findings f = scan(w->fast, text);
		char sample[SAMPLE_SIZE];
		assert_int_equal(f.n, 1);
		size_t n = finding_sample(&f.items[0], text, sample);
		if (!str_is((struct str){sample, n}, cases[i].sample))
			fail_msg("%s is shown as %.*s", cases[i].text, (int)n, sample);
		findings_release(&f);
	}
}

static void hashes_know_values(void **state)
{
	const struct world *w = *state;
	struct str text = STR("4111 1111 1111 1111, 4111-1111-1111-1111 and 5555555555554444");
	struct findings f = scan(w->fast, text);
	unsigned char first[FINDING_HASH_BYTES];
	assert_int_equal(f.n, 3);
	findings_hash(&f, text, STR("key"), STR("acme"));
	assert_memory_equal(f.items[0].hash, f.items[1].hash, FINDING_HASH_BYTES);
	assert_memory_not_equal(f.items[0].hash, f.items[2].hash, FINDING_HASH_BYTES);
	memcpy(first, f.items[0].hash, sizeof(first));
	findings_hash(&f, text, STR("key"), STR("rival"));
	assert_memory_not_equal(first, f.items[0].hash, FINDING_HASH_BYTES);
	findings_hash(&f, text, STR("other"), STR("acme"));
	assert_memory_not_equal(first, f.items[0].hash, FINDING_HASH_BYTES);
	findings_release(&f);
}

static bool stop_now(void *arg)
{
	++*(int *)arg;
	return true;
}

static void stops_and_limits(void **state)
{
	const struct world *w = *state;
	struct buf text = BUF_INIT;
	struct findings f;
	struct err err = {0};
	int asked = 0;
	for (int i = 0; i < 20000; i++)
		buf_addf(&text, "user%d@one-firm.io ", i);
	const struct scan_options stopping = {.least_percent = 50, .max_findings = 100000, .stop = stop_now, .arg = &asked};
	assert_int_equal(scanner_run(w->fast, buf_str(&text), &stopping, &f, &err), ERR_STOPPING);
	assert_int_equal(asked, 1);
	assert_int_equal(f.n, 0);
	const struct scan_options few = {.least_percent = 50, .max_findings = 10};
	assert_int_equal(scanner_run(w->fast, buf_str(&text), &few, &f, &err), 0);
	assert_int_equal(f.n, 10);
	assert_true(f.truncated);
	findings_release(&f);
	buf_release(&text);
}

/* ---- labelled text ---- */

static void assert_same(const struct findings *a, const struct findings *b)
{
	assert_int_equal(a->n, b->n);
	for (size_t i = 0; i < a->n; i++) {
		assert_int_equal(a->items[i].start, b->items[i].start);
		assert_int_equal(a->items[i].end, b->items[i].end);
		assert_int_equal(a->items[i].entity, b->items[i].entity);
		assert_int_equal(a->items[i].percent, b->items[i].percent);
	}
}

static void engines_agree(void **state)
{
	const struct world *w = *state;
	for (uint32_t seed = 1; seed <= 40; seed++) {
		struct labelled text = labelled_make(seed, 150);
		struct findings a = scan(w->fast, buf_str(&text.text)), b = scan(w->plain, buf_str(&text.text));
		assert_true(a.n > 10);
		assert_same(&a, &b);
		findings_release(&a);
		findings_release(&b);
		labelled_release(&text);
	}
}

struct tally {
	unsigned labels, found, reported, right;
};

static bool labelled_there(const struct labelled *l, const struct finding *f)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->labels[i].entity == f->entity && l->labels[i].start == f->start && l->labels[i].end == f->end)
			return true;
	return false;
}

static bool found_there(const struct findings *f, const struct label *l)
{
	for (size_t i = 0; i < f->n; i++)
		if (f->items[i].entity == l->entity && f->items[i].start == l->start && f->items[i].end == l->end)
			return true;
	return false;
}

static void count(const struct labelled *l, const struct findings *f, struct tally tallies[])
{
	for (size_t i = 0; i < l->n; i++) {
		tallies[l->labels[i].entity].labels++;
		tallies[l->labels[i].entity].found += found_there(f, &l->labels[i]);
	}
	for (size_t i = 0; i < f->n; i++) {
		if (f->items[i].entity == ENTITY_PHRASE)
			continue;
		tallies[f->items[i].entity].reported++;
		tallies[f->items[i].entity].right += labelled_there(l, &f->items[i]);
	}
}

static void precision_and_recall(void **state)
{
	static const int checked[] = {ENTITY_PAN, ENTITY_IBAN, ENTITY_VIN, ENTITY_NHS_NUMBER, ENTITY_NPI, ENTITY_ABA_ROUTING};
	const struct world *w = *state;
	struct tally tallies[ENTITY_COUNT] = {0};
	for (uint32_t seed = 1; seed <= DOCUMENTS; seed++) {
		struct labelled text = labelled_make(seed, 40);
		struct findings f = scan(w->fast, buf_str(&text.text));
		count(&text, &f, tallies);
		findings_release(&f);
		labelled_release(&text);
	}
	print_message("# %-18s %8s %8s %10s %8s\n", "entity", "labels", "reported", "precision", "recall");
	for (int e = 0; e < ENTITY_COUNT; e++)
		if (tallies[e].labels || tallies[e].reported)
			print_message("# %-18s %8u %8u %10.4f %8.4f\n", entity_infos[e].name, tallies[e].labels, tallies[e].reported,
				      tallies[e].reported ? (double)tallies[e].right / tallies[e].reported : 1,
				      tallies[e].labels ? (double)tallies[e].found / tallies[e].labels : 1);
	for (size_t i = 0; i < ARRAY_LEN(checked); i++) {
		const struct tally *t = &tallies[checked[i]];
		assert_true(t->labels > 100);
		if (t->right * 100 < t->reported * 98 || t->found * 100 < t->labels * 98)
			fail_msg("%s: %u of %u reports are right, %u of %u labels are found", entity_infos[checked[i]].name, t->right, t->reported, t->found,
				 t->labels);
	}
}

/* Printed, not asserted: it says something about the machine and the build. */
static void throughput(void **state)
{
	const struct world *w = *state;
	struct scanner *const both[] = {w->fast, w->plain};
	struct buf big = BUF_INIT;
	for (uint32_t seed = 1; big.n < BIG_BYTES; seed++) {
		struct labelled text = labelled_make(seed, 200);
		buf_adds(&big, buf_str(&text.text));
		labelled_release(&text);
	}
	for (size_t i = 0; i < ARRAY_LEN(both); i++) {
		int64_t begin = clock_mono_us();
		struct findings f = scan(both[i], buf_str(&big));
		double seconds = (double)(clock_mono_us() - begin) / 1e6;
		print_message("# %s: %.1f MB/s, %zu findings in %zu KiB\n", scanner_engine_name(both[i]), (double)big.n / 1e6 / seconds, f.n, big.n >> 10);
		assert_true(f.n > 0);
		findings_release(&f);
	}
	buf_release(&big);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds),
		cmocka_unit_test(samples_hide),
		cmocka_unit_test(hashes_know_values),
		cmocka_unit_test(stops_and_limits),
		cmocka_unit_test(engines_agree),
		cmocka_unit_test(precision_and_recall),
		cmocka_unit_test(throughput),
	};
	return cmocka_run_group_tests(tests, make_world, end_world);
}
