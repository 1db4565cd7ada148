# The Lua scripts of the pinned bullmq release, and ours that build on them, as C tables.
BULLMQ_DIR := $(BUILD)/npm/bullmq
BULLMQ_GEN := $(GEN)/bullmq_scripts
GENERATED  += $(BULLMQ_GEN).h
LIB_SRC    += $(BULLMQ_GEN).c

$(BULLMQ_DIR)/node_modules/bullmq/package.json: lib/bullmq/package.json lib/bullmq/package-lock.json
	@mkdir -p $(BULLMQ_DIR)
	$(call say,NPM bullmq)
	$(Q)cp $^ $(BULLMQ_DIR)
	$(Q)cd $(BULLMQ_DIR) && npm ci --ignore-scripts --omit=optional --no-audit --no-fund --loglevel=error >/dev/null
	$(Q)touch $@

$(BULLMQ_GEN).c $(BULLMQ_GEN).h &: $(BULLMQ_DIR)/node_modules/bullmq/package.json lib/bullmq/gen-scripts.mjs \
		lib/bullmq/scripts.json $(wildcard lib/bullmq/lua/*.lua)
	@mkdir -p $(GEN)
	$(call say,GEN $(BULLMQ_GEN).c)
	$(Q)node lib/bullmq/gen-scripts.mjs $(BULLMQ_DIR)/node_modules/bullmq lib/bullmq $(BULLMQ_GEN)

# The driver of the differential test sets the clock itself.
$(OUT)/tests/bqdrive: LDFLAGS += -Wl,--wrap=clock_wall_ms
