/* SPDX-License-Identifier: Apache-2.0 */
/* A relation as a read-only, eponymous SQLite virtual table: cells are asked
 * for one at a time, nothing is copied or loaded, rowid is the row number. */
#include "sql_table.h"

#include <stdlib.h>

struct table {
	sqlite3_vtab base;   /* first: SQLite's handle is ours */
	const struct pl_sql_source *src;
};

struct scan {
	sqlite3_vtab_cursor base;
	const struct pl_sql_source *src;
	uint64_t row, end;
};

enum { PLAN_ALL, PLAN_ROWID };

static int table_connect(
    sqlite3 *db, void *aux, int argc, const char *const *argv, sqlite3_vtab **out, char **text)
{
	static const char *const names[] = {"INTEGER", "REAL", "TEXT", "BLOB"};
	const struct pl_sql_source *src = aux;
	sqlite3_str *s = sqlite3_str_new(db);
	struct table *t;
	char *schema;
	int rc;

	(void)argc;
	(void)argv;
	(void)text;
	sqlite3_str_appendall(s, "CREATE TABLE x(");
	for (size_t i = 0; i < src->ncols; i++)
		sqlite3_str_appendf(s, "%s\"%w\" %s", i > 0 ? "," : "", src->cols[i].name,
		    names[src->cols[i].type]);
	sqlite3_str_appendall(s, ")");
	schema = sqlite3_str_finish(s);
	if (!schema)
		return SQLITE_NOMEM;
	rc = sqlite3_declare_vtab(db, schema);
	sqlite3_free(schema);
	if (rc != SQLITE_OK)
		return rc;
	t = calloc(1, sizeof(*t));
	if (!t)
		return SQLITE_NOMEM;
	t->src = src;
	*out = &t->base;
	return SQLITE_OK;
}

static int table_disconnect(sqlite3_vtab *vtab)
{
	free((struct table *)vtab);
	return SQLITE_OK;
}

/* Two plans: every row, or the one row whose number is asked for (joins). */
static int table_best_index(sqlite3_vtab *vtab, sqlite3_index_info *info)
{
	const struct table *t = (const struct table *)vtab;
	double rows = (double)t->src->nrows;

	info->idxNum = PLAN_ALL;
	info->estimatedCost = rows + 1;
	info->estimatedRows = (sqlite3_int64)t->src->nrows;
	for (int i = 0; i < info->nConstraint; i++) {
		if (info->aConstraint[i].iColumn != -1 || !info->aConstraint[i].usable ||
		    info->aConstraint[i].op != SQLITE_INDEX_CONSTRAINT_EQ)
			continue;
		/* omit stays 0: SQLite checks the value again, whatever its type was */
		info->aConstraintUsage[i].argvIndex = 1;
		info->idxNum = PLAN_ROWID;
		info->estimatedCost = 1;
		info->estimatedRows = 1;
		break;
	}
	return SQLITE_OK;
}

static int scan_open(sqlite3_vtab *vtab, sqlite3_vtab_cursor **out)
{
	struct scan *s = calloc(1, sizeof(*s));

	if (!s)
		return SQLITE_NOMEM;
	s->src = ((const struct table *)vtab)->src;
	*out = &s->base;
	return SQLITE_OK;
}

static int scan_close(sqlite3_vtab_cursor *cur)
{
	free((struct scan *)cur);
	return SQLITE_OK;
}

static int scan_filter(
    sqlite3_vtab_cursor *cur, int plan, const char *name, int argc, sqlite3_value **argv)
{
	struct scan *s = (struct scan *)cur;

	(void)name;
	s->row = 0;
	s->end = s->src->nrows;
	/* a rowid that is no integer: look at every row, SQLite compares */
	if (plan == PLAN_ROWID && argc == 1 && sqlite3_value_type(argv[0]) == SQLITE_INTEGER) {
		sqlite3_int64 want = sqlite3_value_int64(argv[0]);
		s->row = want < 0 || (uint64_t)want >= s->end ? s->end : (uint64_t)want;
		s->end = s->row < s->end ? s->row + 1 : s->end;
	}
	return SQLITE_OK;
}

static int scan_next(sqlite3_vtab_cursor *cur)
{
	((struct scan *)cur)->row++;
	return SQLITE_OK;
}

static int scan_eof(sqlite3_vtab_cursor *cur)
{
	const struct scan *s = (const struct scan *)cur;

	return s->row >= s->end;
}

static int scan_column(sqlite3_vtab_cursor *cur, sqlite3_context *out, int col)
{
	const struct scan *s = (const struct scan *)cur;
	struct pl_sql_value v = {.type = PL_SQL_INT, .null = true};

	if (col >= 0 && (size_t)col < s->src->ncols)
		s->src->cell(s->src->ctx, s->row, (size_t)col, &v);
	if (v.null) {
		sqlite3_result_null(out);
		return SQLITE_OK;
	}
	switch (v.type) {
	case PL_SQL_INT:
		sqlite3_result_int64(out, v.i);
		break;
	case PL_SQL_REAL:
		sqlite3_result_double(out, v.r);
		break;
	case PL_SQL_TEXT:
		sqlite3_result_text64(
		    out, v.p ? v.p : "", v.p ? v.len : 0, SQLITE_TRANSIENT, SQLITE_UTF8);
		break;
	case PL_SQL_BLOB:
		sqlite3_result_blob64(out, v.p ? v.p : "", v.p ? v.len : 0, SQLITE_TRANSIENT);
		break;
	}
	return SQLITE_OK;
}

static int scan_rowid(sqlite3_vtab_cursor *cur, sqlite3_int64 *row)
{
	*row = (sqlite3_int64)((const struct scan *)cur)->row;
	return SQLITE_OK;
}

int pl_sql_table_register(sqlite3 *db, struct pl_sql_source *src)
{
	/* no xCreate: the table is there under the module's name, and only there */
	static const sqlite3_module module = {
		.xConnect = table_connect,
		.xBestIndex = table_best_index,
		.xDisconnect = table_disconnect,
		.xDestroy = table_disconnect,
		.xOpen = scan_open,
		.xClose = scan_close,
		.xFilter = scan_filter,
		.xNext = scan_next,
		.xEof = scan_eof,
		.xColumn = scan_column,
		.xRowid = scan_rowid,
	};

	return sqlite3_create_module_v2(db, src->name, &module, src, NULL);
}
