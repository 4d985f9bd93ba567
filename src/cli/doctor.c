/* parallax doctor: what this host has, what it lacks, what that costs and what mends it. */
#include "cli/doctor.h"

#include "base/escape.h"
#include "cli/table.h"

#include <getopt.h>
#include <string.h>

void report_deinit(Report *r) {
        for (size_t i = 0; i < r->n; i++) {
                free(r->findings[i].found);
                free(r->findings[i].cost);
                free(r->findings[i].mend);
        }
        free(r->findings);
        *r = (Report){ 0 };
}

static Finding *next_finding(Report *r) {
        if (r->n == r->cap) {
                size_t cap = r->cap ? r->cap * 2 : 32;
                Finding *more = reallocarray(r->findings, cap, sizeof *more);
                if (!more)
                        return NULL;
                r->findings = more;
                r->cap = cap;
        }
        return &r->findings[r->n];
}

void report_add(Report *r, Verdict v, TextId check, TextId cost, const char *mend, const char *found, ...) {
        Finding *f = next_finding(r);
        va_list args;
        if (!f)
                return;
        *f = (Finding){ .verdict = v, .check = check };
        va_start(args, found);
        if (vasprintf(&f->found, found, args) < 0)
                f->found = NULL;
        va_end(args);
        if (!f->found)
                return;
        f->cost = cost == TEXT_COUNT ? NULL : strdup(text(cost));
        f->mend = mend ? strdup(mend) : NULL;
        r->n++;
}

static void put_detail(Buf *out, TextId label, const char *s) {
        if (!s)
                return;
        buf_printf(out, "              %s: ", text(label));
        escape_terminal(out, s, strlen(s));
        buf_put_char(out, '\n');
}

static void put_finding(Buf *out, const Finding *f) {
        static const TextId VERDICTS[] = { TEXT_OK, TEXT_DEGRADED, TEXT_MISSING };
        const char *verdict = text(VERDICTS[f->verdict]), *check = text(f->check);
        size_t width = display_width(verdict), check_width = display_width(check);
        buf_printf(out, "%s%*s  %s%*s  ", verdict, (int)(width < 8 ? 8 - width : 0), "", check,
                   (int)(check_width < 24 ? 24 - check_width : 0), "");
        escape_terminal(out, f->found, strlen(f->found));
        buf_put_char(out, '\n');
        put_detail(out, TEXT_COSTS, f->cost);
        put_detail(out, TEXT_MEND, f->mend);
}

Verdict report_render(const Report *r, Buf *out) {
        Verdict worst = VERDICT_OK;
        for (size_t i = 0; i < r->n; i++) {
                put_finding(out, &r->findings[i]);
                worst = r->findings[i].verdict > worst ? r->findings[i].verdict : worst;
        }
        return worst;
}

int verb_doctor(const Cli *cli, int argc, char **argv) {
        static const struct option LONG[] = { { "root", required_argument, NULL, 'r' }, { 0 } };
        CLEANUP(report_deinit) Report r = { 0 };
        CLEANUP(buf_deinit) Buf out = BUF_NULL;
        const char *root = "/";
        optind = 0;
        for (int c; (c = getopt_long(argc, argv, "", LONG, NULL)) != -1;) {
                if (c != 'r')
                        return cli_usage();
                root = optarg;
        }
        if (optind < argc)
                return fputs(text(TEXT_TRY_HELP), stderr), CLI_USAGE;
        doctor_daemon(cli, &r);
        doctor_host(root, &r);
        Verdict worst = report_render(&r, &out);
        fputs(buf_cstr(&out), stdout);
        return worst == VERDICT_MISSING ? CLI_FAILED : CLI_OK;
}
