/* SPDX-License-Identifier: Apache-2.0 */
/* The limit of a control group holds for all below it, so every group from this
 * process's up to the root is asked. Slurm sets the step's, containers their own. */
#include "memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE = 4096 };

static uint64_t smaller(uint64_t a, uint64_t b)
{
	return b != 0 && (a == 0 || b < a) ? b : a;
}

/* The number that the file starts with; 0 when there is none ("max"). */
static uint64_t read_number(const char *path)
{
	char line[64];
	FILE *f = fopen(path, "re");
	uint64_t n = 0;

	if (f == NULL)
		return 0;
	if (fgets(line, sizeof(line), f) != NULL)
		n = strtoull(line, NULL, 10);
	fclose(f);
	return n;
}

static uint64_t machine_memory(const char *root)
{
	char path[LINE], line[256];
	uint64_t kib = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/proc/meminfo", root);
	f = fopen(path, "re");
	while (f != NULL && kib == 0 && fgets(line, sizeof(line), f) != NULL)
		if (strncmp(line, "MemTotal:", 9) == 0)
			kib = strtoull(line + 9, NULL, 10);
	if (f != NULL)
		fclose(f);
	return kib * 1024;
}

/* The smallest limit of the group and those above it. Where a container sees its own group as the root, the first path is
 * not there, and the root is asked at last. */
static uint64_t group_limit(const char *root, const char *hierarchy, const char *file, char *group)
{
	char path[2 * LINE];
	uint64_t least = 0;

	for (;;) {
		char *slash = strrchr(group, '/');
		int n = snprintf(path, sizeof(path), "%s/sys/fs/cgroup%s%s/%s", root, hierarchy, strcmp(group, "/") == 0 ? "" : group, file);
		if (n > 0 && (size_t)n < sizeof(path))
			least = smaller(least, read_number(path));
		if (slash == NULL || *group == '\0')
			return least;
		*slash = '\0';
	}
}

/* Lines of "number:controllers:group"; version 2 names no controller. */
uint64_t pl_memory_limit_at(const char *root)
{
	char path[LINE], line[LINE];
	uint64_t least = machine_memory(root);
	FILE *f;

	snprintf(path, sizeof(path), "%s/proc/self/cgroup", root);
	f = fopen(path, "re");
	while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
		char *controllers = strchr(line, ':'), *group = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
		if (group == NULL)
			continue;
		*controllers++ = '\0';
		*group++ = '\0';
		group[strcspn(group, "\n")] = '\0';
		if (*controllers == '\0')
			least = smaller(least, group_limit(root, "", "memory.max", group));
		else if (strcmp(controllers, "memory") == 0 || strstr(controllers, ",memory") != NULL || strncmp(controllers, "memory,", 7) == 0)
			least = smaller(least, group_limit(root, "/memory", "memory.limit_in_bytes", group));
	}
	if (f != NULL)
		fclose(f);
	return least;
}

uint64_t pl_memory_limit(void)
{
	return pl_memory_limit_at("");
}
