# The web page: bundled, compressed in advance, and embedded. WITH_UI=0 makes empty tables and needs no packages.
UI_DIR      := $(BUILD)/npm/ui
UI_MODULES  := $(UI_DIR)/node_modules/.stamp
UI_SRC      := $(wildcard admin-ui/src/* admin-ui/src/*/*) admin-ui/embed.mjs
UI_ASSETS   := $(GEN)/ui_assets.c
GATEWAY_SRC += $(UI_ASSETS)

$(UI_MODULES): admin-ui/package.json admin-ui/package-lock.json
	@mkdir -p $(UI_DIR)
	$(call say,NPM admin-ui)
	$(Q)cp $^ $(UI_DIR)
	$(Q)cd $(UI_DIR) && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null
	$(Q)touch $@

# Rewritten only when it changes, like the compiler's flags.
$(GEN)/.with-ui: FORCE
	@mkdir -p $(@D)
	@echo '$(WITH_UI)' | cmp -s - $@ || echo '$(WITH_UI)' >$@

$(UI_ASSETS): $(GEN)/.with-ui $(UI_SRC) $(if $(filter 0,$(WITH_UI)),,$(UI_MODULES))
	$(call say,GEN $@)
	$(Q)node admin-ui/embed.mjs $(if $(filter 0,$(WITH_UI)),--none,$(UI_DIR)/node_modules) $(GEN)

GENERATED += $(GEN)/preact_licence.h
$(GEN)/preact_licence.h: $(GEN)/.with-ui $(if $(filter 0,$(WITH_UI)),,$(UI_MODULES))
	@mkdir -p $(@D)
	@{ test $(WITH_UI) = 0 && echo '""' || sed 's/[\\"]/\\&/g; s/.*/"&\\n"/' $(UI_DIR)/node_modules/preact/LICENSE; } >$@
