/* A proxy whose agent has no ports-file. */
#ifndef REMORA_TESTS_NO_PORTS_H
#define REMORA_TESTS_NO_PORTS_H

#include "port_files.h"
#include "proxy.h"

static inline void no_ports_set(struct proxy *proxy)
{
    struct err err = {0};
    struct port_files *files = port_files_new(ports_config_new_empty(), &err);
    struct port_table *table = port_table_new(files, NULL, false, &err);
    assert_non_null(table);
    proxy_set_ports(proxy, table);
    port_table_unref(table);
    port_files_unref(files);
}

#endif
