/* SPDX-License-Identifier: Apache-2.0 */
/* How much memory this process may count on. */
#ifndef PL_BASE_MEMORY_H
#define PL_BASE_MEMORY_H

#include <stdint.h>

/* Bytes of the machine, or what the control groups of this process allow where that is less. 0: cannot be told. */
uint64_t pl_memory_limit(void);
/* The same with other roots than / for tests: root/proc/meminfo, root/proc/self/cgroup, root/sys/fs/cgroup. */
uint64_t pl_memory_limit_at(const char *root);

#endif
