$(call obj,processors/runtime/declaration.c): processors/runtime/queues.json processors/runtime/queues.schema.json
