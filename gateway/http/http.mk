# The test's own helpers stand behind the archive on the link line, so it is searched once more.
$(OUT)/tests/unit/test_http $(OUT)/tests/unit/test_http_requests $(OUT)/tests/unit/test_answer: $(OUT)/obj/tests/unit/http_client.o $(OUT)/obj/tests/unit/http_fixture.o
$(OUT)/tests/unit/test_http: LDLIBS := $(OUT)/libsluice.a $(LDLIBS)
