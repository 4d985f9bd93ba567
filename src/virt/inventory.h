/* Lane A: which domains libvirt knows, in which state, and their definitions. One thread, the one that
 * runs libvirt's event loop.
 *
 * What exists and changes is told by events; a look (one bulk call that asks no monitor) gives all states
 * and mends whatever events missed. Events only note what has to be read again; inventory_work() reads it,
 * a few domains at a time, so that neither a flood of events nor the first look at a large host delays
 * the answer to the next ask. */
#pragma once

#include "model/sink.h"
#include "virt/outcome.h"

#include <libvirt/libvirt.h>

typedef struct Inventory Inventory;

enum { INVENTORY_INTERFACES = 1, INVENTORY_PERF = 2, INVENTORY_DEFINITIONS = 4 };

/* `pending` is called when there is work for inventory_work(), and may be called when there already was. */
int inventory_new(Sink *sink, void (*pending)(void *context), void *context, Inventory **ret_inventory) MUST_USE;
Inventory *inventory_free(Inventory *inv);

/* A connection was opened: registers for events; all definitions are due. */
void inventory_attach(Inventory *inv, virConnectPtr conn);
/* The connection is about to be closed. What is known stays known. */
void inventory_detach(Inventory *inv, virConnectPtr conn);

/* One bulk call: entity() for new and renamed domains, gone() for missing ones, DOM_STATE for all, DOM_NET
 * and DOM_PERF when asked for. With INVENTORY_DEFINITIONS every entity, info and XML becomes due. */
VirtOutcome inventory_look(Inventory *inv, virConnectPtr conn, unsigned what);
/* Entity, DOM_INFO, DOM_STATE and XML of one domain, now. */
VirtOutcome inventory_define(Inventory *inv, virConnectPtr conn, const Uuid *uuid);
/* Reads some of what is due; true when more is. */
bool inventory_work(Inventory *inv, virConnectPtr conn);
