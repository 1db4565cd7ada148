# Sluice. `make help` lists every target.
#
#   SAN=asan|tsan|fuzz   builds into build/asan, build/tsan, build/fuzz (which is clang's)
#   V=1                  shows the commands
#   WITH_UI=0            leaves the web page out, and needs none of its packages
#   QUICK=1, PARTS=...   for bench: two minutes; only the parts named (see tests/bench/run.mjs)
#
# A folder's own rules stand in its .mk file: generated sources are added to GENERATED, and a file that is embedded is
# named as a prerequisite of the object that embeds it.

BUILD   ?= build
SAN     ?=
V       ?=
QUICK   ?=
WITH_UI ?= 1
PARTS   ?=
Q       := $(if $(V),,@)
say      = $(if $(V),,@echo "  $(1)")
CCACHE  := $(shell command -v ccache 2>/dev/null)
JOBS    := $(shell nproc 2>/dev/null || echo 2)
parallel = $(if $(filter -j%,$(MAKEFLAGS)),,-j$(JOBS))
submake  = $(MAKE) --no-print-directory $(if $(V),,-s)
PREFIX  ?= /usr/local
FUZZ_SECONDS ?= 60

OUT     := $(BUILD)$(if $(SAN),/$(SAN))
GEN     := $(BUILD)/gen

WARN    := -Wall -Wextra -Wshadow -Wconversion -Wmissing-prototypes -Wstrict-prototypes -Wvla -Werror
HARDEN  := -fstack-protector-strong -fstack-clash-protection -fPIE
ifeq ($(shell uname -m),x86_64)
HARDEN  += -fcf-protection
endif
CPPFLAGS += -I. -I$(GEN) -isystem /usr/include/libxml2 -isystem /usr/include/postgresql -D_GNU_SOURCE \
            -include lib/base/banned.h
CFLAGS  += -std=gnu11 -g -ffile-prefix-map=$(CURDIR)=. $(WARN) $(HARDEN) -pthread -MMD -MP
LDFLAGS += -pie -pthread -Wl,-z,relro,-z,now,-z,noexecstack,--as-needed
LDLIBS  := -lcivetweb -lhiredis -ljwt -ljansson -lcurl -lssl -lcrypto -lpq -lpcre2-8 -lhs -lm

ifneq ($(SAN),)
CFLAGS  += -Wno-maybe-uninitialized # the optimized build asks it; instrumented code misleads it
endif
ifeq ($(SAN),asan)
CFLAGS  += -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
LDFLAGS += -fsanitize=address,undefined
else ifeq ($(SAN),tsan)
CFLAGS  += -O1 -fsanitize=thread -fno-omit-frame-pointer
LDFLAGS += -fsanitize=thread
else ifeq ($(SAN),fuzz)
CC      := clang
CFLAGS  += -O1 -Wno-error -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
LDFLAGS += -fsanitize=fuzzer,address,undefined
else
CFLAGS  += -O2 -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3
endif

.DEFAULT_GOAL := help

# ---- sources ----------------------------------------------------------------------------------------------------------
LIB_SRC     := $(wildcard lib/*/*.c)
PROC_SRC    := $(filter-out processors/helper/%,$(wildcard processors/*.c processors/*/*.c))
GATEWAY_SRC := $(filter-out gateway/main.c,$(wildcard gateway/*.c gateway/*/*.c))
HELPER_SRC  := $(wildcard processors/helper/*.c)
UNIT_SRC    := $(wildcard tests/unit/test_*.c)
FUZZ_SRC    := $(wildcard tests/fuzz/fuzz_*.c)
DRIVER_SRC  := $(wildcard tests/interop/*.c)
BENCH_SRC   := $(wildcard tests/bench/*.c)

obj          = $(patsubst %.c,$(OUT)/obj/%.o,$(1))
ARCHIVE     := $(OUT)/libsluice.a
ARCHIVE_OBJ  = $(call obj,$(LIB_SRC) $(PROC_SRC) $(GATEWAY_SRC))

# ---- generated sources (build outputs, never committed) ------------------------------------------------------------------
GENERATED   :=
-include lib/*/*.mk gateway/*.mk gateway/*/*.mk processors/*.mk processors/*/*.mk admin-ui/*.mk

OBJECTS     := $(ARCHIVE_OBJ) $(call obj,$(wildcard gateway/main.c) $(HELPER_SRC) $(UNIT_SRC) $(FUZZ_SRC) $(DRIVER_SRC) $(BENCH_SRC) \
               $(wildcard tests/fuzz/replay.c))
.SECONDARY: $(OBJECTS)

# Rewritten only when it changes, so that other flags rebuild and the same do not.
FLAGS := $(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) $(LDLIBS)
$(OUT)/.flags: FORCE
	@mkdir -p $(@D)
	@echo '$(FLAGS)' | cmp -s - $@ || echo '$(FLAGS)' >$@

$(OUT)/obj/%.o: %.c $(OUT)/.flags | $(GENERATED)
	@mkdir -p $(@D)
	$(call say,CC $<)
	$(Q)$(CCACHE) $(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

$(ARCHIVE): $(ARCHIVE_OBJ)
	@rm -f $@
	$(Q)ar rcs $@ $^

link = $(Q)mkdir -p $(@D) && $(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^)

$(OUT)/sluice: $(call obj,gateway/main.c) $(ARCHIVE)
	$(call say,LD $@)
	$(link) $(LDLIBS)

$(OUT)/sluice-helper: $(call obj,$(HELPER_SRC)) $(ARCHIVE)
	$(call say,LD $@)
	$(link) $(LDLIBS) -lmagic -larchive -lxml2 -lseccomp

$(OUT)/tests/unit/%: $(OUT)/obj/tests/unit/%.o $(ARCHIVE)
	$(call say,LD $@)
	$(link) -lcmocka $(LDLIBS)

$(OUT)/tests/bench/%: $(OUT)/obj/tests/bench/%.o $(ARCHIVE)
	$(call say,LD $@)
	$(link) $(LDLIBS)

$(OUT)/tests/%: $(OUT)/obj/tests/interop/%.o $(ARCHIVE)
	$(call say,LD $@)
	$(link) $(LDLIBS)

# libFuzzer brings its own main; elsewhere replay.c runs the corpus once.
FUZZ_MAIN := $(if $(filter fuzz,$(SAN)),,$(call obj,tests/fuzz/replay.c))
$(OUT)/tests/fuzz/%: $(OUT)/obj/tests/fuzz/%.o $(FUZZ_MAIN) $(ARCHIVE)
	$(call say,LD $@)
	$(link) $(LDLIBS)

UNIT_BIN   := $(patsubst tests/%.c,$(OUT)/tests/%,$(UNIT_SRC))
FUZZ_BIN   := $(patsubst tests/%.c,$(OUT)/tests/%,$(FUZZ_SRC))
DRIVER_BIN := $(patsubst tests/interop/%.c,$(OUT)/tests/%,$(DRIVER_SRC))
BENCH_BIN  := $(patsubst tests/%.c,$(OUT)/tests/%,$(BENCH_SRC))

# ---- the packages and the Node of the tests ---------------------------------------------------------------------------------
TEST_NODE    := tests/node_modules/.node
TEST_MODULES := tests/node_modules/.stamp

# The pinned Node where there is one for this processor, else the one that is installed.
$(TEST_MODULES): tests/package-lock.json tests/package.json
	$(Q)cat $^ | cmp -s - $@ || { \
		npm ci --prefix tests --loglevel=error && \
		ln -sf "$$(cd tests/node_modules && ls -d "$$PWD"/node-linux-*/bin/node || command -v node)" $(TEST_NODE) && \
		cat $^ >$@; }
	@touch $@

PEER_MODULES := tests/bench/peers/node_modules/.stamp

$(PEER_MODULES): tests/bench/peers/package-lock.json tests/bench/peers/package.json
	$(Q)cat $^ | cmp -s - $@ || { npm ci --prefix $(<D) --loglevel=error && cat $^ >$@; }
	@touch $@

# ---- targets ----------------------------------------------------------------------------------------------------------------
.PHONY: FORCE help run build bench test test-one test-long test-tsan test-fuzz unit pictures lint tidy install clean \
        programs test-programs fuzz-programs bench-programs objects
FORCE:

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(firstword $(MAKEFILE_LIST)) | sed -E 's/^([a-z-]+):.*## /  \1\t/' | expand -t 16

run: ## install what is missing, build, start everything, print how to use it
	@.ci/deps run
	@$(submake) $(parallel) programs
	@gateway/run-dev.sh

build: ## install what is missing and build the programs
	@.ci/deps run
	@$(submake) $(parallel) programs

test: ## install what is missing, build, run every test
	@.ci/deps run test
	@$(submake) $(parallel) programs
	@$(submake) $(parallel) SAN=asan programs test-programs
	@$(submake) $(TEST_MODULES)
	@$(TEST_NODE) tests/run.mjs

test-one: ## run one test file: make test-one T=tests/api/smoke.test.mjs
	@.ci/deps run test
	@$(submake) $(parallel) SAN=asan programs test-programs
	@$(submake) $(TEST_MODULES)
	@$(TEST_NODE) --test --test-reporter=spec $(T)

test-long: ## every test, with many more repetitions
	@SLUICE_TEST_LONG=1 $(submake) test

test-tsan: ## the unit and API tests and two loads under ThreadSanitizer
	@.ci/deps run test
	@$(submake) $(parallel) SAN=tsan programs test-programs
	@$(submake) $(TEST_MODULES)
	@SLUICE_BUILD=$(BUILD)/tsan $(TEST_NODE) tests/run.mjs unit api interop
	@SLUICE_BUILD=$(BUILD)/tsan $(TEST_NODE) --test --test-name-pattern='under load|in flight' tests/fault/redis-away.test.mjs tests/fault/drain.test.mjs

test-fuzz: ## fuzz every parser, FUZZ_SECONDS (60) each
	@.ci/deps run fuzz
	@$(submake) $(parallel) SAN=fuzz fuzz-programs
	@.ci/fuzz $(BUILD)/fuzz $(FUZZ_SECONDS)

unit: $(UNIT_BIN) ## build and run the unit tests alone
	$(Q)for t in $(UNIT_BIN); do $$t || exit 1; done

bench: ## measure beside Fastify and NestJS with BullMQ, in turns; QUICK=1: two minutes
	@.ci/deps run test bench
	@$(submake) $(parallel) programs bench-programs
	@$(submake) $(TEST_MODULES) $(PEER_MODULES)
	@QUICK=$(QUICK) $(TEST_NODE) tests/bench/run.mjs $(PARTS)

pictures: ## make the README's pictures of the web page anew, in docs/img
	@.ci/deps run test
	@$(submake) $(parallel) programs
	@$(submake) $(TEST_MODULES)
	@SLUICE_BUILD=$(BUILD) $(TEST_NODE) tests/ui/pictures.mjs

lint: ## layers, sizes, headers, cppcheck, shell scripts, documented keys
	@.ci/deps run lint
	@$(submake) $(parallel) programs
	@CPPFLAGS='$(CPPFLAGS)' .ci/lint/all $(BUILD)

tidy: ## clang-tidy over every source (slow)
	@.ci/deps lint
	@$(submake) $(GENERATED)
	@printf '%s\n' $(LIB_SRC) $(PROC_SRC) $(GATEWAY_SRC) $(wildcard gateway/main.c) $(HELPER_SRC) | \
		xargs -P $(JOBS) -I{} clang-tidy --quiet {} -- $(CPPFLAGS) -std=gnu11

install: programs ## into DESTDIR and PREFIX (/usr/local)
	install -D -m 755 $(OUT)/sluice $(DESTDIR)$(PREFIX)/bin/sluice
	install -D -m 755 $(OUT)/sluice-helper $(DESTDIR)$(PREFIX)/bin/sluice-helper
	install -D -m 644 LICENSE $(DESTDIR)$(PREFIX)/share/doc/sluice/LICENSE
	install -D -m 644 README.md $(DESTDIR)$(PREFIX)/share/doc/sluice/README.md

clean: ## remove what was built (not var/, which holds the data)
	rm -rf $(BUILD) tests/node_modules tests/bench/peers/node_modules

objects: $(OBJECTS)
programs: $(OUT)/sluice $(OUT)/sluice-helper
test-programs: $(UNIT_BIN) $(FUZZ_BIN) $(DRIVER_BIN)
fuzz-programs: $(FUZZ_BIN)
bench-programs: $(BENCH_BIN)

-include $(shell find $(OUT)/obj -name '*.d' 2>/dev/null)
