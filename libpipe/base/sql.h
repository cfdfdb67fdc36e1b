/* SPDX-License-Identifier: Apache-2.0 */
/* SQL over mapped tables: a read-only SQLite virtual table whose rows come
 * from a callback, with every other power of SQLite (files, ATTACH, writes,
 * extensions, recursion without end) refused by an authorizer and limits. */
#ifndef PL_BASE_SQL_H
#define PL_BASE_SQL_H

#include <sqlite3.h>
#include "err.h"

enum pl_sql_type { PL_SQL_INT, PL_SQL_REAL, PL_SQL_TEXT, PL_SQL_BLOB };
struct pl_sql_col { const char *name; enum pl_sql_type type; };

struct pl_sql_value { enum pl_sql_type type; bool null; int64_t i; double r; const void *p; size_t len; };

/* A relation: nrows rows whose cells are computed on demand. */
struct pl_sql_source {
	const char *name;                 /* table name in SQL */
	const struct pl_sql_col *cols; size_t ncols;
	uint64_t nrows;
	void *ctx;
	/* Fill *v for (row, col); pointers stay valid until the next call. */
	void (*cell)(void *ctx, uint64_t row, size_t col, struct pl_sql_value *v);
};

struct pl_sql;
PL_MUST_CHECK enum pl_status pl_sql_open(struct pl_sql **db, struct pl_err *err);
void pl_sql_close(struct pl_sql *db);
/* Register a relation; *src (and what it points to) must outlive db. nrows and ctx may change between queries. */
PL_MUST_CHECK enum pl_status pl_sql_add(struct pl_sql *db, struct pl_sql_source *src, struct pl_err *err);
/* Evaluate condition (an SQL expression over src's columns) on every row: keep[i] = 1 if true, 0 if false
 * or NULL. keep has src->nrows bytes. A syntax error or unknown column is PL_ERR_USAGE with SQLite's words,
 * the position, and the list of columns. */
PL_MUST_CHECK enum pl_status pl_sql_where(struct pl_sql *db, const struct pl_sql_source *src, const char *condition,
    uint8_t *keep, struct pl_err *err);
/* The value of an SQL expression over src's columns on every row, in order, as text; NULL where it has none. each() may end it with a status
 * of its own. Errors as for pl_sql_where. */
typedef enum pl_status pl_sql_text_fn(void *ctx, uint64_t row, const char *text, size_t len, struct pl_err *err);
PL_MUST_CHECK enum pl_status pl_sql_text(struct pl_sql *db, const struct pl_sql_source *src, const char *expression,
    pl_sql_text_fn *each, void *ctx, struct pl_err *err);
/* Run one SELECT; row(ctx, stmt) is called for each row (non-zero return ends it, PL_OK); header(ctx, stmt) once before. */
PL_MUST_CHECK enum pl_status pl_sql_query(struct pl_sql *db, const char *query, void *ctx,
    int (*header)(void *ctx, sqlite3_stmt *st), int (*row)(void *ctx, sqlite3_stmt *st), struct pl_err *err);

#endif
