#include "cli/text.h"

#include <assert.h>
#include <langinfo.h>
#include <locale.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static const char *const TEXTS[TEXT_COUNT][2] = {
#define TEXT(id, en, zh) [TEXT_##id] = { en, zh },
#include "cli/text.def"
#undef TEXT
};

/* One for the process, set before anything is printed. */
static TextLanguage language = TEXT_EN;

void text_set_language(TextLanguage l) {
        language = l;
}

TextLanguage text_language(void) {
        return language;
}

static const char *first_set(void) {
        static const char *const NAMES[] = { "LC_ALL", "LC_MESSAGES", "LANG" };
        for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
                const char *v = getenv(NAMES[i]);
                if (v && *v)
                        return v;
        }
        return "";
}

void text_setup(void) {
        language = strncmp(first_set(), "zh", 2) == 0 ? TEXT_ZH : TEXT_EN;
        if (!setlocale(LC_CTYPE, "") || strcmp(nl_langinfo(CODESET), "UTF-8") != 0)
                (void)setlocale(LC_CTYPE, "C.UTF-8");
}

const char *text(TextId id) {
        assert(id < TEXT_COUNT);
        return TEXTS[id][language];
}
