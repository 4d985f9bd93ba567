#include "api/resource.h"

#include "base/escape.h"

#include <math.h>

/* Whether a comma is due can be seen from the byte before. */
static void comma(Buf *out) {
        if (out->len > 0 && !strchr("{[:,", out->data[out->len - 1]))
                buf_put_char(out, ',');
}

void json_key(Buf *out, const char *key) {
        comma(out);
        buf_put_json_str(out, key);
        buf_put_char(out, ':');
}

void json_item(Buf *out) {
        comma(out);
}

void json_number(Buf *out, double v) {
        if (isfinite(v))
                buf_put_double(out, v);
        else
                buf_put_str(out, "null");
}

void json_field(Buf *out, const char *key, double v) {
        json_key(out, key);
        json_number(out, v);
}

void json_text(Buf *out, const char *key, const char *text) {
        json_key(out, key);
        if (text)
                buf_put_json_str(out, text);
        else
                buf_put_str(out, "null");
}

void json_bool(Buf *out, const char *key, bool v) {
        json_key(out, key);
        buf_put_str(out, v ? "true" : "false");
}

void api_error(HttpResponse *response, int status, const char *text) {
        response->status = status;
        response->content_type = JSON_TYPE;
        buf_reset(&response->body);
        buf_put_char(&response->body, '{');
        json_text(&response->body, "error", text);
        buf_put_str(&response->body, "}\n");
}
