#include "model/entity.h"

const char *engine_name(Engine e) {
        static const char *const NAMES[ENGINE_COUNT] = {
                [ENGINE_NONE] = "",        [ENGINE_DOCKER] = "docker",   [ENGINE_PODMAN] = "podman",
                [ENGINE_LXC] = "lxc",      [ENGINE_SYSTEMD] = "systemd", [ENGINE_CGROUP] = "cgroup",
        };
        return e < ENGINE_COUNT ? NAMES[e] : "";
}
