/* Puts a file into the program at compile time.
 *
 *     EMBED_FILE(queues_json, "processors/runtime/queues.json");   at file scope, in one .c file
 *     struct str text = EMBEDDED(queues_json);                     static storage; a NUL follows
 *
 * The path is relative to the project's root. Make cannot see the dependency, so the module's .mk file names it:
 *     $(call obj,processors/runtime/declaration.c): processors/runtime/queues.json */
#ifndef SLUICE_BASE_EMBED_H
#define SLUICE_BASE_EMBED_H

#include "lib/base/str.h"

#define EMBED_FILE(symbol, path) \
	__asm__(".section .rodata,\"a\",@progbits\n" \
		".balign 16\n" \
		"embedded_" #symbol ":\n" \
		".incbin \"" path "\"\n" \
		"embedded_" #symbol "_end:\n" \
		".byte 0\n" \
		".previous\n"); \
	extern const char embedded_##symbol[] __attribute__((visibility("hidden"))); \
	extern const char embedded_##symbol##_end[] __attribute__((visibility("hidden")))

#define EMBEDDED(symbol) ((struct str){embedded_##symbol, (size_t)(embedded_##symbol##_end - embedded_##symbol)})

#endif
