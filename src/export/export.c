#include "export/export.h"

#include "export/domain_families.h"

const char *export_profile_name(ExportProfile p) {
        static const char *const NAMES[EXPORT_PROFILE_COUNT] = {
                [EXPORT_TINKOFF] = "tinkoff",
                [EXPORT_INOVEX] = "inovex",
                [EXPORT_ZHANGJIANWEIBJ] = "zhangjianweibj",
                [EXPORT_NODE] = "node",
                [EXPORT_CONTAINER] = "container",
                [EXPORT_SELF] = "self",
        };
        return p < EXPORT_PROFILE_COUNT ? NAMES[p] : "";
}

int export_profile_by_name(const char *name, ExportProfile *ret_profile) {
        for (ExportProfile p = EXPORT_TINKOFF; p <= EXPORT_ZHANGJIANWEIBJ; p++)
                if (strcmp(name, export_profile_name(p)) == 0) {
                        *ret_profile = p;
                        return 0;
                }
        return -ENOENT;
}

static void profile_node(Render *r) {
        render_entities(r, ENTITY_HOST, NULL, NULL, NULL);
        render_prefix(r, ENTITY_HOST, "node_");
        /* Dashboards of node_exporter show the exporter's own process too. */
        profile_process(r);
}

int export_render(const ExportContext *c, ExportProfile p, bool openmetrics, Buf *out) {
        static void (*const PROFILES[EXPORT_PROFILE_COUNT])(Render *r) = {
                [EXPORT_TINKOFF] = profile_tinkoff,
                [EXPORT_INOVEX] = profile_inovex,
                [EXPORT_ZHANGJIANWEIBJ] = profile_zhangjianweibj,
                [EXPORT_NODE] = profile_node,
                [EXPORT_CONTAINER] = profile_container,
                [EXPORT_SELF] = profile_self,
        };
        if (p >= EXPORT_PROFILE_COUNT)
                return -EINVAL;
        CLEANUP(render_deinit) Render r;
        render_init(&r, c, openmetrics, out);
        PROFILES[p](&r);
        expo_end(&r.expo);
        return render_error(&r);
}
