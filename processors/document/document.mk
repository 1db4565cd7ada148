$(call obj,processors/document/document.c): processors/document/payload.schema.json

# The tests run the helper itself.
$(OUT)/tests/unit/test_document: | $(OUT)/sluice-helper
