# The licence of the BullMQ scripts that are part of the program, as a C string for `sluice version --licenses`.
GENERATED += $(GEN)/bullmq_licence.h
$(GEN)/bullmq_licence.h: $(BULLMQ_DIR)/node_modules/bullmq/package.json
	@mkdir -p $(@D)
	@sed 's/[\\"]/\\&/g; s/.*/"&\\n"/' $(<D)/LICENSE >$@
