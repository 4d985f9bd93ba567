/* Listening sockets for the HTTP server, from the text of an address. Private to src/net. */
#pragma once

#include "base/cleanup.h"

#include <stdbool.h>
#include <sys/socket.h>

typedef struct HttpAddress {
        struct sockaddr_storage sa;
        socklen_t len;
        bool loopback; /* or a Unix path */
} HttpAddress;

/* "127.0.0.1:9177", "[::1]:9177" or an absolute path; hosts are numbers. 0, -EINVAL, -ENAMETOOLONG. */
int http_address_parse(const char *text, HttpAddress *ret_address) MUST_USE;
/* A bound, listening, non-blocking socket. A Unix socket gets the mode 0660 and replaces a file that nobody
 * answers on. 0 or negative errno. */
int http_socket_listen(const HttpAddress *address, int *ret_fd) MUST_USE;
