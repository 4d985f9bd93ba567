#include "net/http_socket.h"

#include "base/scan.h"
#include "net/http_server.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <sys/un.h>

#define BACKLOG 128
#define HOST_MAX 64

static int parse_unix(const char *path, HttpAddress *ret_address) {
        struct sockaddr_un *un = (struct sockaddr_un *)&ret_address->sa;
        size_t n = strlen(path);
        if (n >= sizeof un->sun_path)
                return -ENAMETOOLONG;
        un->sun_family = AF_UNIX;
        memcpy(un->sun_path, path, n + 1);
        ret_address->len = sizeof *un;
        ret_address->loopback = true;
        return 0;
}

static bool parse_port(const char *text, in_port_t *ret_port) {
        uint64_t port;
        if (!span_u64((Span){ text, strlen(text) }, &port) || port > 65535)
                return false;
        *ret_port = htons((uint16_t)port);
        return true;
}

static int parse_v4(const char *host, in_port_t port, HttpAddress *ret_address) {
        struct sockaddr_in *in = (struct sockaddr_in *)&ret_address->sa;
        *in = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = port };
        if (inet_pton(AF_INET, host, &in->sin_addr) != 1)
                return -EINVAL;
        ret_address->len = sizeof *in;
        ret_address->loopback = ntohl(in->sin_addr.s_addr) >> 24 == 127;
        return 0;
}

/* `host` may end in "%eth0" or "%2", which a link-local address needs. */
static int parse_v6(char *host, in_port_t port, HttpAddress *ret_address) {
        struct sockaddr_in6 *in = (struct sockaddr_in6 *)&ret_address->sa;
        *in = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = port };
        char *scope = strchr(host, '%');
        if (scope) {
                uint64_t index;
                *scope++ = '\0';
                bool is_number = span_u64((Span){ scope, strlen(scope) }, &index) && index <= INT32_MAX;
                in->sin6_scope_id = is_number ? (uint32_t)index : if_nametoindex(scope);
                if (in->sin6_scope_id == 0)
                        return -EINVAL;
        }
        if (inet_pton(AF_INET6, host, &in->sin6_addr) != 1)
                return -EINVAL;
        ret_address->len = sizeof *in;
        ret_address->loopback = IN6_IS_ADDR_LOOPBACK(&in->sin6_addr) ||
                                (IN6_IS_ADDR_V4MAPPED(&in->sin6_addr) && in->sin6_addr.s6_addr[12] == 127);
        return 0;
}

int http_address_parse(const char *text, HttpAddress *ret_address) {
        HttpAddress a = { 0 };
        int r;
        if (text[0] == '/') {
                r = parse_unix(text, &a);
        } else {
                const char *colon = strrchr(text, ':');
                char host[HOST_MAX];
                in_port_t port;
                size_t n = colon ? (size_t)(colon - text) : 0;
                if (n == 0 || n >= sizeof host || !parse_port(colon + 1, &port))
                        return -EINVAL;
                bool v6 = text[0] == '[' && n >= 3 && text[n - 1] == ']';
                memcpy(host, text + v6, n - 2 * (size_t)v6);
                host[n - 2 * (size_t)v6] = '\0';
                r = v6 ? parse_v6(host, port, &a) : parse_v4(host, port, &a);
        }
        if (r == 0)
                *ret_address = a;
        return r;
}

int http_address_is_loopback(const char *address, bool *ret_loopback) {
        HttpAddress a;
        int r = http_address_parse(address, &a);
        if (r < 0)
                return -EINVAL;
        *ret_loopback = a.loopback;
        return 0;
}

static int stream_socket(int family) {
        int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        return fd < 0 ? -errno : fd;
}

/* Removes the socket file that a dead program left; -EADDRINUSE when it is alive or no socket. */
static int remove_stale(const HttpAddress *a) {
        const char *path = ((const struct sockaddr_un *)&a->sa)->sun_path;
        struct stat st;
        if (lstat(path, &st) < 0)
                return errno == ENOENT ? 0 : -errno;
        if (!S_ISSOCK(st.st_mode))
                return -EADDRINUSE;
        CLEANUP_FD int fd = stream_socket(AF_UNIX);
        if (fd < 0)
                return fd;
        int r = connect(fd, (const struct sockaddr *)&a->sa, a->len) < 0 ? -errno : 0;
        if (r != -ECONNREFUSED && r != -ENOENT)
                return r == -EACCES ? -EACCES : -EADDRINUSE;
        return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}

static int bind_unix(int fd, const HttpAddress *a) {
        int r = remove_stale(a);
        if (r < 0)
                return r;
        /* The mode must be right from the first instant, and bind() knows none but the umask. */
        mode_t old = umask(0117);
        r = bind(fd, (const struct sockaddr *)&a->sa, a->len) < 0 ? -errno : 0;
        (void)umask(old);
        return r;
}

static int bind_inet(int fd, const HttpAddress *a) {
        const int on = 1, off = 0;
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        /* "[::]" serves both families whatever the host's default is. */
        if (a->sa.ss_family == AF_INET6)
                (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
        return bind(fd, (const struct sockaddr *)&a->sa, a->len) < 0 ? -errno : 0;
}

int http_socket_listen(const HttpAddress *a, int *ret_fd) {
        CLEANUP_FD int fd = stream_socket(a->sa.ss_family);
        if (fd < 0)
                return fd;
        int r = a->sa.ss_family == AF_UNIX ? bind_unix(fd, a) : bind_inet(fd, a);
        if (r < 0)
                return r;
        if (listen(fd, BACKLOG) < 0)
                return -errno;
        *ret_fd = TAKE_FD(fd);
        return 0;
}
