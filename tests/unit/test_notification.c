/* The notification processor's parts: addresses, what a mail looks like, what answers mean, what the ledger's text says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/fetch/smtp.h"
#include "processors/notification/address.h"
#include "processors/notification/children.h"
#include "processors/notification/ledger.h"
#include "processors/notification/mime.h"
#include "processors/notification/trouble.h"

static void addresses_follow_the_grammar(void **state)
{
	static const char *const good[] = {"a@b", "a.b+c@example.org", "o'brien@ex-ample.co.uk", "{x}|~@a.b", "1@2.3",
		"0123456789012345678901234567890123456789012345678901234567890123@example.org"};
	static const char *const bad[] = {
		"", "@", "a", "a@", "@b", "a@@b", "a@b@c", ".a@b", "a.@b", "a..b@c", "a b@c", "a@b c", "a@-b", "a@b-", "a@b..c", "a@.b", "a@b.", "a@[127.0.0.1]",
		"<a@b>", "a@b>", "a@b\r\nRCPT TO:<evil@x>", "a\r\n@b", "a\n@b", "a@b\n", "\"a b\"@c", "a@b,c@d", "a@b;c", "a@b_c", "a(c)@b", "a:b@c", "a\\@b",
		"\xc3\xbc@b", "a@\xc3\xbc.de", "a\x7f@b", "a@b SIZE=1", "a@b> AUTH=<>",
		"01234567890123456789012345678901234567890123456789012345678901234@example.org",
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		if (!mail_address_ok(str_from(good[i])))
			fail_msg("%s is refused", good[i]);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (mail_address_ok(str_from(bad[i])))
			fail_msg("%s is accepted", bad[i]);
	assert_false(mail_address_ok(STR("a\0b@c")));
	assert_true(address_phone_ok(STR("+4915112345678")));
	assert_false(address_phone_ok(STR("+0915112345678")) || address_phone_ok(STR("4915112345678")) || address_phone_ok(STR("+49 151 1234")) ||
		     address_phone_ok(STR("+12345678901234567")) || address_phone_ok(STR("+123456")));
}

static void a_sender_is_read_in_both_forms(void **state)
{
	static const struct {
		const char *text, *name, *address;
	} cases[] = {
		{"a@b.c", "", "a@b.c"},
		{" Sluice <a@b.c> ", "Sluice", "a@b.c"},
		{"\"Sluice, Inc.\" <a@b.c>", "Sluice, Inc.", "a@b.c"},
		{"<a@b.c>", "", "a@b.c"},
		{"Sluice a@b.c", NULL, NULL},
		{"Sluice <a@b.c", NULL, NULL},
		{"", NULL, NULL},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct str name, address;
		int rc = address_read_sender(str_from(cases[i].text), &name, &address, NULL);
		assert_int_equal(rc, cases[i].name ? 0 : ERR_INVALID);
		if (rc == 0)
			assert_true(str_is(name, cases[i].name) && str_is(address, cases[i].address));
	}
}

/* ---- mail ---- */

static void assert_words(const char *text, const char *expected)
{
	struct buf b = BUF_INIT;
	mime_add_words(&b, str_from(text));
	assert_string_equal(b.p ? b.p : "", expected);
	buf_release(&b);
}

static void header_words_are_plain_or_encoded(void **state)
{
	(void)state;
	assert_words("", "");
	assert_words("Your document", "Your document");
	assert_words("Gr\xc3\xbc\xc3\x9f" "e", "=?utf-8?B?R3LDvMOfZQ==?=");
	assert_words("a\r\nBcc: x@y", "=?utf-8?B?YQ0KQmNjOiB4QHk=?=");
	assert_words("=?utf-8?Q?x?=", "=?utf-8?B?PT91dGYtOD9RP3g/PQ==?=");
	assert_words(" edges ", "=?utf-8?B?IGVkZ2VzIA==?=");
	/* No character is cut in two: 38 letters, then one of two bytes. */
	assert_words("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\xc3\xbc",
		     "=?utf-8?B?YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE=?=\r\n =?utf-8?B?w7w=?=");
}

static void assert_text(const char *text, const char *expected)
{
	struct buf b = BUF_INIT;
	mime_add_text(&b, str_from(text));
	assert_string_equal(b.p, expected);
	buf_release(&b);
}

static void text_is_quoted_printable(void **state)
{
	(void)state;
	assert_text("", "\r\n");
	assert_text("a", "a\r\n");
	assert_text("a\nb\rc\r\nd\n", "a\r\nb\r\nc\r\nd\r\n");
	assert_text("\n\n", "\r\n\r\n");
	assert_text("a=b\xc3\xbc", "a=3Db=C3=BC\r\n");
	assert_text("end \nend\t", "end=20\r\nend=09\r\n");
	assert_text(".\n..\n.x", "=2E\r\n=2E.\r\n=2Ex\r\n");
	assert_text("From here", "=46rom here\r\n");
	assert_text("\x01\x7f", "=01=7F\r\n");
}

static void no_line_of_a_mail_is_too_long(void **state)
{
	struct buf text = BUF_INIT, mail = BUF_INIT;
	(void)state;
	for (int i = 0; i < 3000; i++)
		buf_addz(&text, i % 7 ? "." : i % 3 ? "\xf0\x9f\x98\x80" : " ");
	const struct mime_message m = {
		.from_name = buf_str(&text), .from = STR("a@b.c"), .to = STR("d@e.f"), .subject = buf_str(&text), .text = buf_str(&text),
		.message_id = STR("<x@b.c>"), .date_wall_ms = 1795254104088};
	mime_write(&m, &mail);
	size_t at = 0;
	while (at < mail.n) {
		const char *end = strstr(mail.p + at, "\r\n");
		assert_non_null(end);
		size_t n = (size_t)(end - mail.p) - at;
		assert_true(n <= 76);
		assert_true(n == 0 || mail.p[at] != '.');
		assert_null(memchr(mail.p + at, '\n', n));
		at += n + 2;
	}
	assert_memory_equal(mail.p, "Date: Sat, 21 Nov 2026 09:41:44 +0000\r\nFrom: =?utf-8?B?", 55);
	buf_release(&text);
	buf_release(&mail);
}

/* ---- answers ---- */

static void smtp_replies_are_read(void **state)
{
	static const struct {
		const char *line;
		int code; /* 0: no last line */
		const char *enhanced;
	} cases[] = {
		{"250 2.1.5 Ok\r\n", 250, "2.1.5"}, {"550 5.1.1 <x>: no such user\r\n", 550, "5.1.1"}, {"550 No such user\r\n", 550, ""},
		{"451 4.7.1\r\n", 451, "4.7.1"},    {"250\r\n", 250, ""},                             {"250-PIPELINING\r\n", 0, ""},
		{"550 4.1.1 other class\r\n", 550, ""}, {"550 5.1 x\r\n", 550, ""},                   {"550 5.1.1x\r\n", 550, ""},
		{"550 5.1234.1 x\r\n", 550, ""},    {"25 x", 0, ""},                                  {"150 x", 0, ""},
		{"999 x", 0, ""},                   {"", 0, ""},                                      {"550 5.999.999 x", 550, "5.999.999"},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int code = 0;
		char enhanced[12] = "";
		assert_int_equal(smtp_read_line(str_from(cases[i].line), &code, enhanced), cases[i].code != 0);
		assert_int_equal(code, cases[i].code);
		assert_string_equal(enhanced, cases[i].enhanced);
	}
}

static void smtp_replies_decide_what_follows(void **state)
{
	static const struct {
		int code;
		const char *enhanced;
		enum trouble trouble;
	} cases[] = {
		{421, "", TROUBLE_REJECTED_TRANSIENT},       {450, "", TROUBLE_REJECTED_TRANSIENT},      {450, "4.2.2", TROUBLE_REJECTED_TRANSIENT},
		{450, "4.7.1", TROUBLE_RATE_LIMITED},        {451, "4.7.1", TROUBLE_RATE_LIMITED},       {452, "", TROUBLE_REJECTED_TRANSIENT},
		{454, "", TROUBLE_REJECTED_TRANSIENT},       {499, "", TROUBLE_REJECTED_TRANSIENT},      {500, "", TROUBLE_REJECTED_TRANSIENT},
		{504, "", TROUBLE_REJECTED_TRANSIENT},       {523, "", TROUBLE_MESSAGE_TOO_LARGE},       {530, "", TROUBLE_AUTH_FAILED},
		{535, "5.7.8", TROUBLE_AUTH_FAILED},         {538, "", TROUBLE_AUTH_FAILED},             {550, "", TROUBLE_REJECTED_PERMANENT},
		{550, "5.1.1", TROUBLE_REJECTED_PERMANENT},  {551, "", TROUBLE_REJECTED_PERMANENT},      {552, "", TROUBLE_REJECTED_PERMANENT},
		{552, "5.2.2", TROUBLE_REJECTED_TRANSIENT},  {552, "5.3.4", TROUBLE_MESSAGE_TOO_LARGE},  {554, "5.7.1", TROUBLE_REJECTED_PERMANENT},
		{0, "", TROUBLE_CONNECT_FAILED},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (trouble_of_smtp(cases[i].code, cases[i].enhanced).trouble != cases[i].trouble)
			fail_msg("%d %s means %s", cases[i].code, cases[i].enhanced, trouble_name(trouble_of_smtp(cases[i].code, cases[i].enhanced).trouble));
	assert_int_equal(trouble_of_smtp(450, "4.7.1").delay_ms, 60000);
}

static void http_answers_decide_what_follows(void **state)
{
	(void)state;
	assert_int_equal(trouble_of_http(200, -1).trouble, TROUBLE_NONE);
	assert_int_equal(trouble_of_http(204, 5000).trouble, TROUBLE_NONE);
	assert_int_equal(trouble_of_http(302, -1).trouble, TROUBLE_REJECTED_PERMANENT);
	assert_int_equal(trouble_of_http(400, -1).trouble, TROUBLE_REJECTED_PERMANENT);
	assert_int_equal(trouble_of_http(401, -1).trouble, TROUBLE_AUTH_FAILED);
	assert_int_equal(trouble_of_http(404, -1).trouble, TROUBLE_TARGET_GONE);
	assert_int_equal(trouble_of_http(410, -1).trouble, TROUBLE_TARGET_GONE);
	assert_int_equal(trouble_of_http(429, -1).trouble, TROUBLE_REJECTED_TRANSIENT);
	assert_int_equal(trouble_of_http(429, 0).trouble, TROUBLE_RATE_LIMITED);
	assert_int_equal(trouble_of_http(429, 0).delay_ms, 1000);
	assert_int_equal(trouble_of_http(503, 7000).delay_ms, 7000);
	assert_int_equal(trouble_of_http(503, INT64_MAX).delay_ms, 86400000);
	assert_int_equal(trouble_of_http(500, 7000).trouble, TROUBLE_PROVIDER_ERROR);
	assert_int_equal(trouble_of_sms(21211), TROUBLE_INVALID_ADDRESS);
	assert_int_equal(trouble_of_sms(1), TROUBLE_NONE);
	assert_int_equal(trouble_of_fetch(ERR_DENIED, false), TROUBLE_ADDRESS_DENIED);
	assert_int_equal(trouble_of_fetch(ERR_STOPPING, true), TROUBLE_UNKNOWN_OUTCOME);
	assert_int_equal(trouble_of_fetch(ERR_STOPPING, false), TROUBLE_CANCELLED);
}

/* ---- the ledger ---- */

static void an_entry_is_read_as_it_was_written(void **state)
{
	struct ledger_entry e = {.tag = "t", .state = LEDGER_SENT, .sends = 2, .sent_wall_ms = 1795254104088}, r = {.tag = "t"};
	struct buf b = BUF_INIT;
	(void)state;
	e.attempt = (struct attempt){.code = 250, .enhanced = "2.0.0", .provider_id = "<sluice.notifications.17.1@ex>", .ms = 41};
	ledger_write_entry(&e, &b);
	assert_string_equal(b.p, "sent|2|NONE|250|2.0.0|<sluice.notifications.17.1@ex>|41|1795254104088");
	assert_true(ledger_read_entry(buf_str(&b), &r));
	assert_memory_equal(r.attempt.provider_id, e.attempt.provider_id, sizeof("<sluice.notifications.17.1@ex>"));
	assert_true(r.state == e.state && r.sends == 2 && r.attempt.code == 250 && r.attempt.ms == 41 && r.sent_wall_ms == e.sent_wall_ms);
	buf_release(&b);
}

static void a_broken_entry_is_none(void **state)
{
	static const char *const broken[] = {"", "sent", "sent|", "sent|1", "gone|1|NONE|0|||0|0", "sent|-1|NONE|0|||0|0", "sent|1|?|0|||0|0",
		"sent|1|NONE|1000|||0|0", "sent|1|NONE|0|012345678901||0|0", "sent|1|NONE|0|||0", "sent|1|NONE|0|||x|0",
		"sent|1|NONE|0|||0|0|more"};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
		struct ledger_entry e = {0};
		bool more = i + 1 == ARRAY_LEN(broken); /* what a later version may add is passed over */
		assert_int_equal(ledger_read_entry(str_from(broken[i]), &e), more);
	}
}

/* ---- children ---- */

static void assert_line(struct bq_child child, const char *expected)
{
	struct arena a;
	struct buf b = BUF_INIT;
	arena_init(&a, 0);
	children_write_line(&child, &a, &b);
	assert_string_equal(b.p, expected);
	buf_release(&b);
	arena_release(&a);
}

static void children_are_told_in_words(void **state)
{
	(void)state;
	assert_line((struct bq_child){.queue = STR("document-processing"), .value = STR("{\"pages\":3}")}, "Document processed: 3 pages");
	assert_line((struct bq_child){.queue = STR("document-processing"), .value = STR("{\"pages\":1}")}, "Document processed: 1 page");
	assert_line((struct bq_child){.queue = STR("document-processing"), .value = STR("not JSON")}, "Document processed");
	assert_line((struct bq_child){.queue = STR("document-processing"), .failed_reason = STR("CORRUPT: it is damaged\nat 0x7")},
		    "Document not processed: CORRUPT: it is damaged");
	assert_line((struct bq_child){.queue = STR("compliance-analysis"), .value = STR("{}")}, "Compliance analysed");
	assert_line((struct bq_child){.queue = STR("other"), .failed_reason = STR("")}, "other: failed");
	assert_line((struct bq_child){.queue = STR("other"), .failed_reason = STR("bad \xff byte")}, "other: failed: bad");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_follow_the_grammar),
		cmocka_unit_test(a_sender_is_read_in_both_forms),
		cmocka_unit_test(header_words_are_plain_or_encoded),
		cmocka_unit_test(text_is_quoted_printable),
		cmocka_unit_test(no_line_of_a_mail_is_too_long),
		cmocka_unit_test(smtp_replies_are_read),
		cmocka_unit_test(smtp_replies_decide_what_follows),
		cmocka_unit_test(http_answers_decide_what_follows),
		cmocka_unit_test(an_entry_is_read_as_it_was_written),
		cmocka_unit_test(a_broken_entry_is_none),
		cmocka_unit_test(children_are_told_in_words),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
