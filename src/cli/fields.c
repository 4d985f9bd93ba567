#include "cli/cli.h"

#include <math.h>
#include <string.h>

json_t *field(json_t *object, const char *path) {
        while (object && *path) {
                char key[64];
                size_t n = strcspn(path, ".");
                if (n >= sizeof key)
                        return NULL;
                memcpy(key, path, n);
                key[n] = '\0';
                object = json_object_get(object, key);
                path += n + (path[n] == '.');
        }
        return object;
}

double field_number(json_t *object, const char *path) {
        const json_t *v = field(object, path);
        return json_is_number(v) ? json_number_value(v) : (double)NAN;
}

const char *field_text(json_t *object, const char *path) {
        const char *s = json_string_value(field(object, path));
        return s ? s : "";
}
