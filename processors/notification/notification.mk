$(call obj,processors/notification/notification.c): processors/notification/payload.schema.json
