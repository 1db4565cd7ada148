$(call obj,gateway/openapi/schemas.c): gateway/openapi/schemas.json
