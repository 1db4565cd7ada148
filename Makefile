# Sluice. `make help` lists every target.
#
#   SAN=asan | tsan   builds into build/asan, build/tsan
#   V=1               shows the commands

BUILD   ?= build
SAN     ?=
V       ?=
Q       := $(if $(V),,@)
say      = $(if $(V),,@echo "  $(1)")
CCACHE  := $(shell command -v ccache 2>/dev/null)

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
LDFLAGS += -pie -pthread -Wl,-z,relro,-z,now,-z,noexecstack
LDLIBS  := -lcivetweb -lhiredis -ljwt -ljansson -lcurl -lssl -lcrypto -lpq -lpcre2-8 -lm

ifeq ($(SAN),asan)
CFLAGS  += -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
LDFLAGS += -fsanitize=address,undefined
else ifeq ($(SAN),tsan)
CFLAGS  += -O1 -fsanitize=thread -fno-omit-frame-pointer
LDFLAGS += -fsanitize=thread
else
CFLAGS  += -O2 -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3
endif

.DEFAULT_GOAL := help

# ---- sources ----------------------------------------------------------------------------------------------------------
LIB_SRC     := $(wildcard lib/*/*.c)
PROC_SRC    := $(filter-out processors/helper/%,$(wildcard processors/*/*.c))
GATEWAY_SRC := $(filter-out gateway/main.c,$(wildcard gateway/*.c gateway/*/*.c))
HELPER_SRC  := $(wildcard processors/helper/*.c)
UNIT_SRC    := $(wildcard tests/unit/test_*.c)

obj          = $(patsubst %.c,$(OUT)/obj/%.o,$(1))
ARCHIVE     := $(OUT)/libsluice.a
ARCHIVE_OBJ := $(call obj,$(LIB_SRC) $(PROC_SRC) $(GATEWAY_SRC))

# ---- generated sources (build outputs, never committed) ------------------------------------------------------------------
GENERATED   :=
-include lib/*/*.mk gateway/*.mk gateway/*/*.mk processors/*/*.mk

OBJECTS     := $(ARCHIVE_OBJ) $(call obj,$(wildcard gateway/main.c) $(HELPER_SRC) $(UNIT_SRC))
.SECONDARY: $(OBJECTS)

$(OUT)/obj/%.o: %.c | $(GENERATED)
	@mkdir -p $(@D)
	$(call say,CC $<)
	$(Q)$(CCACHE) $(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

$(ARCHIVE): $(ARCHIVE_OBJ)
	@rm -f $@
	$(Q)ar rcs $@ $^

$(OUT)/sluice: $(call obj,gateway/main.c) $(ARCHIVE)
	$(call say,LD $@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(OUT)/sluice-helper: $(call obj,$(HELPER_SRC)) $(ARCHIVE)
	$(call say,LD $@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS) -lmagic -larchive -lxml2 -lseccomp

$(OUT)/tests/unit/%: $(OUT)/obj/tests/unit/%.o $(ARCHIVE)
	@mkdir -p $(@D)
	$(call say,LD $@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ -lcmocka $(LDLIBS)

UNIT_BIN := $(patsubst tests/unit/%.c,$(OUT)/tests/unit/%,$(UNIT_SRC))

.PHONY: help programs unit objects landcheck
help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  \1\t/' | expand -t 16

objects: $(OBJECTS)

landcheck: ## compile everything that is there, link nothing (a quick look before a push)
	@$(MAKE) --no-print-directory -j2 objects

programs: $(OUT)/sluice $(OUT)/sluice-helper

unit: $(UNIT_BIN) ## build and run the unit tests
	$(Q)for t in $(UNIT_BIN); do $$t || exit 1; done

-include $(shell find $(OUT)/obj $(OUT)/tests -name '*.d' 2>/dev/null)
