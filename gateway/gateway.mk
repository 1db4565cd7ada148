# The revision is part of the program; its header is rewritten only when it changes.
GENERATED += $(GEN)/revision.h
$(GEN)/revision.h: FORCE
	@mkdir -p $(@D)
	@echo '#define SLUICE_REVISION "$(shell git describe --always --dirty 2>/dev/null || echo unknown)"' | cmp -s - $@ || \
		echo '#define SLUICE_REVISION "$(shell git describe --always --dirty 2>/dev/null || echo unknown)"' >$@
