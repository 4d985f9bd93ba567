#include "query/select.h"

int info_value(Exec *x, Node *n) {
        return exec_fail(x, QUERY_EXECUTION, "info() is not there");
}
