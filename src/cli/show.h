/* The pages of `parallax show`, apart from where their JSON comes from. */
#pragma once

#include "base/buf.h"

#include <jansson.h>

void show_render(json_t *doc, Buf *out);
