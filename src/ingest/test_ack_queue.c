#include "ingest/ack_queue.h"

#include "net/test_fake_http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void fake_deinit(FakeHttp *f) {
        buf_deinit(&f->answer.body);
}

static void queue_freep(AckQueue **q) {
        *q = ack_queue_free(*q);
}

static void add(AckQueue *q, FakeHttp *f, uint64_t ticket) {
        HttpRequest r = { .connection = f };
        HttpResponse response = { .status = 204, .body = BUF_NULL };
        buf_printf(&response.body, "ticket %lu", (unsigned long)ticket);
        ack_queue_add(q, ticket, http_hold(&r), &response);
        assert_null(response.body.data);
}

static void in_order(void **state) {
        (void)state;
        CLEANUP(fake_deinit) FakeHttp f = { 0 };
        CLEANUP(queue_freep) AckQueue *q = NULL;
        assert_int_equal(ack_queue_new(4, &q), 0);
        for (uint64_t round = 0; round < 10; round++) {
                uint64_t t = round * 10;
                f.answered = 0;
                add(q, &f, t + 1);
                add(q, &f, t + 2);
                add(q, &f, t + 2); /* one commit of the log may have several */
                add(q, &f, t + 5);
                assert_true(ack_queue_full(q) && ack_queue_length(q) == 4);
                ack_queue_advance(q, t);
                assert_int_equal(f.answered, 0);
                ack_queue_advance(q, t + 2);
                assert_int_equal(f.answered, 3);
                ack_queue_advance(q, t + 4);
                assert_true(f.answered == 3 && !ack_queue_full(q));
                ack_queue_advance(q, UINT64_MAX);
                assert_true(f.answered == 4 && f.answer.status == 204 && ack_queue_length(q) == 0);
        }
        assert_string_equal(buf_cstr(&f.answer.body), "ticket 95");
}

static void broken_log(void **state) {
        (void)state;
        CLEANUP(fake_deinit) FakeHttp f = { 0 };
        CLEANUP(queue_freep) AckQueue *q = NULL;
        assert_int_equal(ack_queue_new(4, &q), 0);
        add(q, &f, 1);
        add(q, &f, 2);
        ack_queue_fail(q, 503);
        assert_true(f.answered == 2 && f.answer.status == 503 && fake_number(&f.answer, "Retry-After") > 0);
        add(q, &f, 3); /* and it goes on */
        ack_queue_advance(q, 3);
        assert_true(f.answered == 3 && f.answer.status == 204);
}

static void freed_with_some_waiting(void **state) {
        (void)state;
        CLEANUP(fake_deinit) FakeHttp f = { 0 };
        AckQueue *q = NULL;
        assert_int_equal(ack_queue_new(1, &q), 0);
        add(q, &f, 1);
        q = ack_queue_free(q);
        assert_true(!q && f.answered == 1 && f.answer.status == 503);
        assert_null(ack_queue_free(NULL));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(in_order),
                cmocka_unit_test(broken_log),
                cmocka_unit_test(freed_with_some_waiting),
        };
        return cmocka_run_group_tests_name("ack_queue", tests, NULL, NULL);
}
