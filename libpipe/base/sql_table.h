/* SPDX-License-Identifier: Apache-2.0 */
/* The virtual table behind sql.h. Internal to this room. */
#ifndef PL_BASE_SQL_TABLE_H
#define PL_BASE_SQL_TABLE_H

#include "sql.h"

/* Make src a table of db (SQLite's result code); src must outlive db. */
int pl_sql_table_register(sqlite3 *db, struct pl_sql_source *src);

#endif
