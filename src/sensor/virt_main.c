/* parallax-virt: the one process that talks to libvirt, started, watched and killed by parallax-sensor.
 *
 *   parallax-virt states|monitor URI      asks and answers on descriptor 3
 *
 * A libvirt call may never return. So nothing here is kept that the sensor could not do without, and
 * nothing here tries to time out: the sensor counts the seconds and kills. One thread; libvirt's own event
 * loop watches descriptor 3, libvirt's socket and the events. */
#include "rt/log.h"
#include "rt/sandbox.h"
#include "sensor/frame_sink.h"
#include "virt/inventory.h"
#include "virt/monitor.h"

#include <libvirt/virterror.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#define ASK_FD 3
#define KEEPALIVE_INTERVAL 5
#define KEEPALIVE_COUNT 3

typedef struct Server {
        const char *uri;
        bool monitors; /* the role */
        virConnectPtr conn;
        bool lost;     /* the close callback was there */
        bool ended;
        int timer;
        EntityKey host; /* as the sensor named it in an ask */
        FrameWriter writer;
        FrameSink sink;
        Inventory *inventory;
        VirtMonitor *monitor;
        uint64_t packet[FRAME_PACKET_MAX / sizeof(uint64_t)];
} Server;

/* The sensor is our only reason to live. */
static void emit(void *context, const void *packet, size_t n) {
        Server *s = context;
        while (send(ASK_FD, packet, n, MSG_NOSIGNAL) < 0)
                if (errno != EINTR) {
                        s->ended = true;
                        return;
                }
}

static void on_pending(void *context) {
        Server *s = context;
        virEventUpdateTimeout(s->timer, 0);
}

static void on_lost(virConnectPtr conn, int reason, void *context) {
        (void)conn;
        (void)reason;
        Server *s = context;
        s->lost = true;
        virEventUpdateTimeout(s->timer, 0);
}

/* What the sensor did not ask for: a connection was opened or lost. */
static void tell(Server *s, AskState state) {
        frame_put_done(&s->writer, s->host, &(DoneBody){ .what = ASK_STATES, .state = state });
}

static void disconnect(Server *s) {
        if (!s->conn)
                return;
        inventory_detach(s->inventory, s->conn);
        virt_monitor_detach(s->monitor);
        (void)virConnectUnregisterCloseCallback(s->conn, on_lost);
        (void)virConnectClose(s->conn);
        s->conn = NULL;
        s->lost = false;
        tell(s, ASK_DOWN);
}

static bool connected(Server *s) {
        if (s->conn && (s->lost || virConnectIsAlive(s->conn) == 0))
                disconnect(s);
        if (s->conn)
                return true;
        s->conn = virConnectOpenReadOnly(s->uri);
        if (!s->conn) {
                LOG_LIMITED(LOG_WARN, "virt.connect", s->uri, LOG_S("uri", s->uri),
                            LOG_S("reason", virGetLastErrorMessage()));
                return false;
        }
        (void)virConnectSetKeepAlive(s->conn, KEEPALIVE_INTERVAL, KEEPALIVE_COUNT);
        (void)virConnectRegisterCloseCallback(s->conn, on_lost, s, NULL);
        if (!s->monitors)
                inventory_attach(s->inventory, s->conn);
        tell(s, ASK_EVENT);
        return true;
}

static unsigned look_flags(uint32_t ask_flags) {
        unsigned what = 0;
        if (ask_flags & ASK_WITH_INTERFACES)
                what |= INVENTORY_INTERFACES;
        if (ask_flags & ASK_WITH_PERF)
                what |= INVENTORY_PERF;
        if (ask_flags & ASK_WITH_DEFINITIONS)
                what |= INVENTORY_DEFINITIONS;
        return what;
}

static VirtOutcome perform(Server *s, const EntityKey *key, const AskBody *ask) {
        switch (ask->what) {
        case ASK_STATES:
                return inventory_look(s->inventory, s->conn, look_flags(ask->flags));
        case ASK_MONITOR:
                return virt_monitor_look(s->monitor, s->conn, &key->id, ask->flags & ASK_CONTROL_ONLY, &s->sink.sink);
        case ASK_XML:
                return inventory_define(s->inventory, s->conn, &key->id);
        case ASK_HOST:
                return virt_hypervisor_look(s->conn, *key, &s->sink.sink);
        default:
                return (VirtOutcome){ .state = VIRT_FAILED, .error = VIR_ERR_INVALID_ARG };
        }
}

/* libvirt gives some codes both for a broken connection and for an error at the far end. */
static VirtOutcome answer_of(Server *s, const EntityKey *key, const AskBody *ask) {
        if (!connected(s))
                return (VirtOutcome){ .state = VIRT_DOWN, .error = virGetLastErrorCode() };
        VirtOutcome out = perform(s, key, ask);
        if (out.state != VIRT_DOWN)
                return out;
        if (!s->lost && virConnectIsAlive(s->conn) == 1)
                out.state = VIRT_FAILED;
        else
                disconnect(s);
        return out;
}

static AskState ask_state(VirtState state) {
        switch (state) {
        case VIRT_OK:
                return ASK_OK;
        case VIRT_GONE:
                return ASK_GONE;
        case VIRT_BUSY:
                return ASK_BUSY;
        case VIRT_DOWN:
                return ASK_DOWN;
        default:
                return ASK_FAILED;
        }
}

static void serve_ask(Server *s, const EntityKey *key, const AskBody *ask) {
        MonoTime begun = mono_now();
        if (key->kind == ENTITY_HOST)
                s->host = *key;
        VirtOutcome out = answer_of(s, key, ask);
        frame_put_done(&s->writer, *key,
                       &(DoneBody){ .what = ask->what,
                                    .state = ask_state(out.state),
                                    .serial = ask->serial,
                                    .error = out.error,
                                    .control = out.control,
                                    .cost_ns = mono_since(mono_now(), begun).ns });
        frame_flush(&s->writer);
}

static void on_ask(int watch, int fd, int events, void *context) {
        (void)watch;
        (void)events;
        Server *s = context;
        ssize_t n = recv(fd, s->packet, sizeof s->packet, MSG_DONTWAIT);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
                return;
        FrameReader reader = { (const uint8_t *)s->packet, (const uint8_t *)s->packet + (n > 0 ? n : 0) };
        Frame f;
        int r = -EPIPE;
        while (n > 0 && !s->ended && (r = frame_next(&reader, &f)) > 0)
                if (f.type == FRAME_ASK)
                        serve_ask(s, &f.key, &f.ask);
        if (r < 0)
                s->ended = true;
}

static void on_work(int timer, void *context) {
        Server *s = context;
        if (s->lost)
                disconnect(s);
        if (!s->conn || !inventory_work(s->inventory, s->conn))
                virEventUpdateTimeout(timer, -1);
        frame_flush(&s->writer);
}

static void no_complaint(void *context, virErrorPtr error) {
        (void)context;
        (void)error;
}

static int setup(Server *s) {
        frame_writer_init(&s->writer, emit, s);
        frame_sink_init(&s->sink, &s->writer);
        int r = inventory_new(&s->sink.sink, on_pending, s, &s->inventory);
        if (r == 0)
                r = virt_monitor_new(&s->monitor);
        if (r < 0)
                return r;
        virSetErrorFunc(NULL, no_complaint);
        if (virEventRegisterDefaultImpl() < 0 || virInitialize() < 0)
                return -EIO;
        s->timer = virEventAddTimeout(-1, on_work, s, NULL);
        int events = VIR_EVENT_HANDLE_READABLE | VIR_EVENT_HANDLE_HANGUP | VIR_EVENT_HANDLE_ERROR;
        if (s->timer < 0 || virEventAddHandle(ASK_FD, events, on_ask, s, NULL) < 0)
                return -EIO;
        frame_put_hello(&s->writer);
        frame_flush(&s->writer);
        return 0;
}

static int confine(void) {
        SandboxReport report;
        int r = sandbox_enter(&(SandboxPlan){ .role = SANDBOX_VIRT }, &report);
        if (r < 0)
                LOG(LOG_ERROR, "virt.sandbox", LOG_S("step", report.step), LOG_E("error", r));
        return r;
}

int main(int argc, char **argv) {
        log_setup("parallax-virt", LOG_INFO, LOG_FORMAT_LOGFMT);
        if (argc != 3 || (strcmp(argv[1], "states") != 0 && strcmp(argv[1], "monitor") != 0)) {
                (void)fprintf(stderr,
                              "parallax-virt: started by parallax-sensor as: parallax-virt states|monitor URI\n");
                return 2;
        }
        /* A sensor that is killed must not leave a worker behind that hangs in a call. */
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)signal(SIGPIPE, SIG_IGN);
        static Server server;
        server.uri = argv[2];
        server.monitors = strcmp(argv[1], "monitor") == 0;
        server.host.kind = ENTITY_HOST;
        if (confine() < 0)
                return 1;
        int r = setup(&server);
        if (r < 0) {
                LOG(LOG_ERROR, "virt.start", LOG_E("error", r));
                return 1;
        }
        while (!server.ended)
                if (virEventRunDefaultImpl() < 0)
                        return 1;
        return 0;
}
