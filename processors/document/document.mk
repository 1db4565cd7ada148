$(call obj,processors/document/document.c): processors/document/payload.schema.json

# The tests run the helper itself.
$(OUT)/tests/unit/test_document $(OUT)/tests/unit/test_document_cage: | $(OUT)/sluice-helper

# Text decoding is the helper's, which is in no library.
$(OUT)/tests/fuzz/fuzz_text: $(call obj,processors/helper/text.c)
