#include "virt/outcome.h"

#include <libvirt/virterror.h>

VirtOutcome virt_outcome_of_error(void) {
        int code = virGetLastErrorCode();
        switch (code) {
        case VIR_ERR_NO_DOMAIN:
                return (VirtOutcome){ .state = VIRT_GONE, .error = code };
        case VIR_ERR_RPC:
        case VIR_ERR_SYSTEM_ERROR:
        case VIR_ERR_NO_CONNECT:
        case VIR_ERR_INVALID_CONN:
        case VIR_ERR_AUTH_FAILED:
                return (VirtOutcome){ .state = VIRT_DOWN, .error = code };
        default:
                return (VirtOutcome){ .state = VIRT_FAILED, .error = code };
        }
}
