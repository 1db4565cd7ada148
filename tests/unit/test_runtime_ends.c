/* How the runtime ends jobs where their end is not taken as it is told. */
#include "tests/unit/runtime_world.h"

/* The fault: the end was given up, the job's lock ran out, and its processor ran again and again. */
static void a_job_with_children_left_fails_instead_of_completing(void **state)
{
	struct world *w = *state;
	struct str id = add(w, "hold", "{}", 0);

	until_starts(1);
	redis(w, "SADD bull:hold:%.*s:dependencies bull:other:1", STR_ARG(id));
	atomic_store(&may_end, true);
	struct bq_job job = until_state(w, "hold", id, BQ_FAILED);
	assert_true(str_starts(job.failed_reason, STR("CHILDREN_NOT_DONE: ")));
	assert_int_equal(job.stalled_count, 0);
	assert_int_equal(job.attempts_made, atomic_load(&starts));
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_job_with_children_left_fails_instead_of_completing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
