/* Operators with native histograms. */
#include "query/fhist_priv.h"
#include "query/function_priv.h"

/* How the operator's two sides are called. */
static int impossible(BinaryOp op, const FHist *l, const FHist *r, Notes *notes, Place place) {
        const char *name = binary_name(op);
        notes_add(notes, NOTE_INFO, place,
                  "PromQL info: incompatible sample types encountered for binary operator \"%s\": %s %s %s", name,
                  l ? "histogram" : "float", name, r ? "histogram" : "float");
        return 0;
}

static int scaled(Arena *a, const FHist *h, double by, bool divide, FHist **ret_h) {
        FHist *out = fhist_copy(a, h);
        if (!out)
                return a->error;
        if (divide)
                fhist_divide(out, by);
        else
                fhist_scale(out, by);
        int r = fhist_compact(a, out);
        if (r == 0)
                *ret_h = out;
        return r;
}

static int combined(Arena *a, BinaryOp op, const FHist *l, const FHist *r, Notes *notes, Place place, FHist **ret_h) {
        FHistNotes what = { 0 };
        FHist *out = fhist_copy(a, l);
        if (!out)
                return a->error;
        int result = op == BINARY_ADD ? fhist_add(a, out, r, &what) : fhist_sub(a, out, r, &what);
        HistOperation operation = op == BINARY_ADD ? HIST_ADDITION : HIST_SUBTRACTION;
        if (what.mixed_schemas) {
                notes_add(notes, NOTE_WARNING, place,
                          "PromQL warning: incompatible bucket layout encountered for binary operator %s",
                          binary_name(op));
                return 0;
        }
        if (result < 0)
                return result;
        if (what.reset_collision)
                note_reset_collision(notes, place, operation);
        if (what.custom_mismatch)
                note_custom_mismatch(notes, place, operation);
        if (op == BINARY_SUB)
                out->reset = FHIST_RESET_GAUGE;
        result = fhist_compact(a, out);
        if (result == 0)
                *ret_h = out;
        return result;
}

int binary_histograms(Arena *a, BinaryOp op, const FHist *lh, double lv, const FHist *rh, double rv, Notes *notes,
                      Place place, FHist **ret_h, double *ret_v, bool *ret_keep) {
        int r = 0;
        *ret_h = NULL;
        *ret_v = ABSENT;
        *ret_keep = false;
        if (lh && rh && (op == BINARY_ADD || op == BINARY_SUB))
                r = combined(a, op, lh, rh, notes, place, ret_h);
        else if (lh && rh && (op == BINARY_EQL || op == BINARY_NEQ)) {
                *ret_h = fhist_copy(a, lh);
                *ret_keep = fhist_equal(lh, rh) == (op == BINARY_EQL);
                return *ret_h ? 0 : a->error;
        } else if (lh && !rh && (op == BINARY_MUL || op == BINARY_DIV))
                r = scaled(a, lh, rv, op == BINARY_DIV, ret_h);
        else if (!lh && rh && op == BINARY_MUL)
                r = scaled(a, rh, lv, false, ret_h);
        else if (lh && !rh && (op == BINARY_TRIM_UPPER || op == BINARY_TRIM_LOWER)) {
                *ret_h = fhist_trim(a, lh, rv, op == BINARY_TRIM_UPPER);
                r = *ret_h ? 0 : a->error;
        } else
                return impossible(op, lh, rh, notes, place);
        *ret_keep = r == 0 && *ret_h;
        return r;
}
