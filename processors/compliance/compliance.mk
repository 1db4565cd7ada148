$(call obj,processors/compliance/compliance.c): processors/compliance/payload.schema.json
$(call obj,processors/compliance/rules_load.c): processors/compliance/rules.schema.json $(wildcard processors/compliance/rules/*.json)
