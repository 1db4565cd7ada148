/* Runs a fuzz target over files, once each: `fuzz_name file…`. Any compiler and sanitizer will do, so what the fuzzer has
 * found stays tested in every run. */
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/fs.h"

#define INPUT_MAX_BYTES ((size_t)64 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int main(int argc, char **argv)
{
	struct buf input = BUF_INIT;
	for (int i = 1; i < argc; i++) {
		struct err err = {0};
		buf_clear(&input);
		if (fs_read_file(argv[i], INPUT_MAX_BYTES, &input, &err) < 0) {
			fprintf(stderr, "%s: %s\n", argv[i], err.text);
			return 1;
		}
		/* A block of its exact size lets AddressSanitizer see a read past the end. */
		uint8_t *exact = malloc(input.n ? input.n : 1);
		if (!exact)
			return 1;
		memcpy(exact, input.n ? input.p : "", input.n);
		(void)LLVMFuzzerTestOneInput(exact, input.n);
		free(exact);
	}
	buf_release(&input);
	return 0;
}
