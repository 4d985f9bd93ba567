/* Everything that the command says to a person, in English and Chinese: rows of text.def. The language
 * is the first of LC_ALL, LC_MESSAGES and LANG that is set; zh* means Chinese. */
#pragma once

typedef enum TextId {
#define TEXT(id, en, zh) TEXT_##id,
#include "cli/text.def"
#undef TEXT
        TEXT_COUNT
} TextId;

typedef enum TextLanguage { TEXT_EN, TEXT_ZH } TextLanguage;

/* From the environment; also sets the character type of the locale, UTF-8 when there is a choice. */
void text_setup(void);
void text_set_language(TextLanguage l);
TextLanguage text_language(void);
const char *text(TextId id);
