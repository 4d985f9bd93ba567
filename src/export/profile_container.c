/* cAdvisor: container_* with id (the cgroup's path), image, name and the container's labels as
 * container_label_*. Systemd services and slices have an id alone, as there. */
#include "export/domain_families.h"

static Span container_id(const LatestEntity *e) {
        const char *path = e->path && e->path[0] ? e->path : "/";
        return (Span){ path, strlen(path) };
}

/* A label's key as a part of a metric label's name; false when another one reads the same afterwards. */
static bool label_key(const ContainerNote *note, size_t i, char out[256]) {
        static const char PREFIX[] = "container_label_";
        size_t n = sizeof PREFIX - 1;
        memcpy(out, PREFIX, n);
        for (const char *c = note->labels[i].key; *c && n < 255; c++) {
                bool word = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9');
                out[n++] = word ? *c : '_';
        }
        out[n] = '\0';
        return n > sizeof PREFIX - 1;
}

static bool label_is_repeated(const ContainerNote *note, size_t i, const char *key) {
        char other[256];
        for (size_t j = 0; j < i; j++)
                if (label_key(note, j, other) && strcmp(other, key) == 0)
                        return true;
        return false;
}

static void put_labels(Render *r, size_t start, const ContainerNote *note) {
        char key[256];
        for (size_t i = 0; i < note->n_labels; i++)
                if (label_key(note, i, key) && !label_is_repeated(note, i, key))
                        expo_put_label(&r->base.text, start, key, note->labels[i].value, strlen(note->labels[i].value));
}

static void base_labels(Render *r, const LatestEntity *e, size_t start, Span id) {
        buf_put_str(&r->base.text, "id=\"");
        buf_put(&r->base.text, id.text, id.len);
        buf_put_char(&r->base.text, '"');
        const ContainerNote *note = attachment_container(e);
        bool named = e->engine == ENGINE_DOCKER || e->engine == ENGINE_PODMAN || e->engine == ENGINE_LXC;
        const char *name = note && note->name[0] ? note->name : named && e->name ? e->name : "";
        const char *image = note ? note->image : "";
        expo_put_label(&r->base.text, start, "image", image, strlen(image));
        expo_put_label(&r->base.text, start, "name", name, strlen(name));
        if (note)
                put_labels(r, start, note);
}

void profile_container(Render *r) {
        render_entities(r, ENTITY_HOST, NULL, NULL, NULL);
        render_prefix(r, ENTITY_HOST, "machine_");
        render_entities(r, ENTITY_CONTAINER, container_id, base_labels, NULL);
        render_prefix(r, ENTITY_CONTAINER, "container_");
        render_prefix(r, ENTITY_CONTAINER, "parallax_container_");
}
