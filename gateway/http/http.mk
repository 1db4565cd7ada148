$(OUT)/tests/unit/test_http: $(OUT)/obj/tests/unit/http_client.o
