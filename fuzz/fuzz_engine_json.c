/* The engines' documents: the first byte says which, the rest is what an engine may answer. A list or
 * an error, never more; what is over a limit is not in the list. */
#include "wire/engine_json.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const EngineList *l) {
        assert(l->n <= ENGINE_CONTAINERS_MAX);
        for (size_t i = 0; i < l->n; i++) {
                const EngineContainer *c = &l->containers[i];
                assert(c->id[0] != '\0' && c->created >= 0 && c->n_labels <= ENGINE_LABELS_MAX);
                assert(strlen(c->name) <= ENGINE_TEXT_MAX && strlen(c->image) <= ENGINE_TEXT_MAX);
                assert(c->state && c->status && engine_list_find(l, c->id));
                for (size_t j = 0; j < c->n_labels; j++)
                        assert(strlen(c->labels[j].key) <= ENGINE_TEXT_MAX &&
                               strlen(c->labels[j].value) <= ENGINE_TEXT_MAX);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static int (*const PARSERS[])(const void *, size_t, EngineList *) = {
                engine_parse_answer, engine_parse_list, engine_parse_docker_config, engine_parse_podman_configs,
        };
        CLEANUP(engine_list_deinit) EngineList l = ENGINE_LIST_NULL;
        if (size == 0)
                return 0;
        if (PARSERS[data[0] % ARRAY_LEN(PARSERS)](data + 1, size - 1, &l) < 0)
                assert(l.n == 0 && !l.containers);
        check(&l);
        return 0;
}
