/* Native histograms as text, and as the HTTP API has them. */
#include "base/number.h"
#include "query/fhist_priv.h"

static void put_number(Buf *out, double v) {
        char text[NUMBER_TEXT_MAX];
        buf_put(out, text, number_go(v, text));
}

static void put_bucket(Buf *out, const FHistBucket *b) {
        if (b->count == 0)
                return;
        buf_put_str(out, b->lower_inclusive ? ", [" : ", (");
        put_number(out, b->lower);
        buf_put_char(out, ',');
        put_number(out, b->upper);
        buf_put_str(out, b->upper_inclusive ? "]:" : "):");
        put_number(out, b->count);
}

/* With the bounds of the schema, also where the zero bucket overlaps. */
static void put_side(Buf *out, const FHist *h, bool negative) {
        FHist side = *h;
        side.zero_threshold = side.zero_count = 0;
        if (negative)
                side.n_positive_spans = side.n_positive = 0;
        else
                side.n_negative_spans = side.n_negative = 0;
        FHistScan s = fhist_scan(&side, false);
        for (FHistBucket b; fhist_scan_next(&s, &b);)
                put_bucket(out, &b);
}

void fhist_print(const FHist *h, Buf *out) {
        buf_put_str(out, "{count:");
        put_number(out, h->count);
        buf_put_str(out, ", sum:");
        put_number(out, h->sum);
        put_side(out, h, true);
        put_bucket(out, &(FHistBucket){ -h->zero_threshold, h->zero_threshold, h->zero_count, true, true });
        put_side(out, h, false);
        buf_put_char(out, '}');
}

static void put_json(Buf *out, const char *before, double v) {
        char text[NUMBER_TEXT_MAX];
        buf_put_str(out, before);
        buf_put(out, text, number_json(v, text));
        buf_put_char(out, '"');
}

void fhist_json(const FHist *h, Buf *out) {
        put_json(out, "{\"count\":\"", h->count);
        put_json(out, ",\"sum\":\"", h->sum);
        bool any = false;
        FHistScan s = fhist_scan(h, false);
        for (FHistBucket b; fhist_scan_next(&s, &b);) {
                if (b.count == 0)
                        continue;
                buf_put_str(out, any ? ",[" : ",\"buckets\":[[");
                any = true;
                /* Which bounds belong to it: 0 the upper, 1 the lower, 2 none, 3 both. */
                buf_put_char(out, b.lower_inclusive ? b.upper_inclusive ? '3' : '1' : b.upper_inclusive ? '0' : '2');
                put_json(out, ",\"", b.lower);
                put_json(out, ",\"", b.upper);
                put_json(out, ",\"", b.count);
                buf_put_char(out, ']');
        }
        buf_put_str(out, any ? "]}" : "}");
}
