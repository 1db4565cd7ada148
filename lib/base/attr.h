/* Attributes that let the compiler hold a contract. */
#ifndef SLUICE_BASE_ATTR_H
#define SLUICE_BASE_ATTR_H

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define NONNULL(...) __attribute__((nonnull(__VA_ARGS__)))
#define NORETURN __attribute__((noreturn))
#define UNUSED __attribute__((unused))

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#endif
