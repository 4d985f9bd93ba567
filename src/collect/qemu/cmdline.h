/* What a QEMU process's command line says about its machine. Any process can pretend to be a QEMU:
 * the bytes are bounded and not trusted. Private to this folder. */
#pragma once

#include "base/uuid.h"
#include "model/entity.h"

#define QEMU_CMDLINE_MAX ((size_t)256 << 10)

typedef struct QemuCmdline {
        bool has_uuid;
        Uuid uuid;
        char name[ENTITY_TEXT_MAX + 1]; /* terminated; cut there */
        size_t name_len;                /* 0: not named */
        unsigned host_nics;             /* netdevs that the host counts: tap, vhost-user, ... (not "user") */
        bool smp;                       /* has, or may have, more than one vCPU */
} QemuCmdline;

/* Whether argv[0], at the beginning of the bytes, is a QEMU system emulator by its name. */
bool qemu_cmdline_is_qemu(const char *bytes, size_t n);
/* Reads NUL-terminated arguments; one that is not terminated is left out. */
void qemu_cmdline_parse(const char *bytes, size_t n, QemuCmdline *ret);
