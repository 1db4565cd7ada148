$(call obj,processors/document/document.c): processors/document/payload.schema.json
