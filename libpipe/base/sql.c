/* SPDX-License-Identifier: Apache-2.0 */
/* A SQLite connection that can do one thing: SELECT over registered tables.
 * Conditions come from recipes and command lines that people pass around, so
 * the authorizer lets through what is known to be harmless and repeatable. */
#include "sql.h"

#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "opt.h"
#include "sql_table.h"

/* Virtual-machine steps between two calls of the progress handler. A condition
 * may cost one such tick per row, and some to begin with. */
enum { TICK_STEPS = 10000, FREE_TICKS = 1000 };

#define IDENTIFIER "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789"

struct pl_sql {
	sqlite3 *db;
	struct pl_sql_source **sources;
	size_t n;
	bool counting;          /* a condition runs: its steps are counted */
	uint64_t ticks_left;
	char denied[160];       /* what the authorizer refused last, "" = nothing */
};

/* Pure functions only: the same rows give the same answer at any time and place.
 * Sorted for bsearch. */
static const char *const functions[] = {"->", "->>", "abs", "acos", "acosh", "asin", "asinh",
    "atan", "atan2", "atanh", "avg", "ceil", "ceiling", "char", "coalesce", "cos", "cosh", "count",
    "cume_dist", "degrees", "dense_rank", "exp", "first_value", "floor", "format", "glob",
    "group_concat", "hex", "ifnull", "iif", "instr", "json", "json_array", "json_array_length",
    "json_extract", "json_object", "json_quote", "json_type", "json_valid", "lag", "last_value",
    "lead", "length", "like", "likelihood", "likely", "ln", "log", "log10", "log2", "lower",
    "ltrim", "max", "min", "mod", "nth_value", "ntile", "nullif", "percent_rank", "pi", "pow",
    "power", "printf", "quote", "radians", "rank", "replace", "round", "row_number", "rtrim",
    "sign", "sin", "sinh", "sqrt", "substr", "substring", "sum", "tan", "tanh", "total", "trim",
    "trunc", "typeof", "unicode", "unlikely", "upper", "zeroblob"};

static int compare_function(const void *a, const void *b)
{
	return sqlite3_stricmp(a, *(const char *const *)b);
}

static bool known_function(const char *name)
{
	return bsearch(
	    name, functions, PL_ARRAY_LEN(functions), sizeof(functions[0]), compare_function);
}

static const struct pl_sql_source *find_source(const struct pl_sql *s, const char *name)
{
	for (size_t i = 0; i < s->n; i++) {
		if (sqlite3_stricmp(s->sources[i]->name, name) == 0)
			return s->sources[i];
	}
	return NULL;
}

/* Names SQLite itself may resolve to tables of its own. */
static bool reserved_name(const char *name)
{
	return sqlite3_strnicmp(name, "sqlite_", 7) == 0 ||
	    sqlite3_strnicmp(name, "pragma_", 7) == 0 || sqlite3_strnicmp(name, "json_", 5) == 0;
}

static int deny(struct pl_sql *s, const char *what, const char *name)
{
	sqlite3_snprintf((int)sizeof(s->denied), s->denied, "%s%s%.80s%s", what, name ? " '" : "",
	    name ? name : "", name ? "'" : "");
	return SQLITE_DENY;
}

static int authorize(void *ctx, int action, const char *a, const char *b, const char *dbname,
    const char *trigger)
{
	struct pl_sql *s = ctx;

	(void)dbname;
	(void)trigger;
	switch (action) {
	case SQLITE_SELECT:
		return SQLITE_OK;
	case SQLITE_READ:
		/* no column: the relation is only counted, and may be a WITH of the query's own */
		if (a && (find_source(s, a) || (b && !*b && !reserved_name(a))))
			return SQLITE_OK;
		return deny(s, "no access to table", a ? a : "");
	case SQLITE_FUNCTION:
		if (b && known_function(b))
			return SQLITE_OK;
		return deny(s, "no access to function", b ? b : "");
	case SQLITE_RECURSIVE:
		return deny(s, "recursive queries are not available", NULL);
	default:
		return deny(s, "only SELECT over the tables is available", NULL);
	}
}

static int progress(void *ctx)
{
	struct pl_sql *s = ctx;

	if (!s->counting)
		return 0;
	if (s->ticks_left == 0)
		return 1;
	s->ticks_left--;
	return 0;
}

static void set_limits(sqlite3 *db)
{
	static const struct { int id, value; } limits[] = {
		{SQLITE_LIMIT_LENGTH, 16 << 20}, {SQLITE_LIMIT_SQL_LENGTH, 100000},
		{SQLITE_LIMIT_EXPR_DEPTH, 200}, {SQLITE_LIMIT_COMPOUND_SELECT, 20},
		{SQLITE_LIMIT_VDBE_OP, 100000}, {SQLITE_LIMIT_FUNCTION_ARG, 64},
		{SQLITE_LIMIT_ATTACHED, 0}, {SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1000},
		{SQLITE_LIMIT_VARIABLE_NUMBER, 0}, {SQLITE_LIMIT_TRIGGER_DEPTH, 0},
		{SQLITE_LIMIT_WORKER_THREADS, 0}
	};

	for (size_t i = 0; i < PL_ARRAY_LEN(limits); i++)
		sqlite3_limit(db, limits[i].id, limits[i].value);
}

enum pl_status pl_sql_open(struct pl_sql **db, struct pl_err *err)
{
	const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_MEMORY |
	    SQLITE_OPEN_NOMUTEX;
	struct pl_sql *s = calloc(1, sizeof(*s));
	int rc;

	if (!s)
		return pl_fail_nomem(err);
	rc = sqlite3_open_v2(":memory:", &s->db, flags, NULL);
	/* temporary results stay in memory: no file is ever made */
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(s->db, "PRAGMA temp_store=MEMORY", NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_drop_modules(s->db, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_db_config(s->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_db_config(s->db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, NULL);
	/* else a misspelt "column" would be a string, and the condition silently false */
	if (rc == SQLITE_OK)
		rc = sqlite3_db_config(s->db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_set_authorizer(s->db, authorize, s);
	if (rc != SQLITE_OK) {
		if (rc == SQLITE_NOMEM)
			pl_fail_nomem(err);
		else
			pl_fail(err, PL_ERR_UNSUPPORTED, PL_SEV_JOB, NULL,
			    "cannot start SQLite: %s", sqlite3_errstr(rc));
		pl_sql_close(s);
		return rc == SQLITE_NOMEM ? PL_ERR_NOMEM : PL_ERR_UNSUPPORTED;
	}
	set_limits(s->db);
	sqlite3_progress_handler(s->db, TICK_STEPS, progress, s);
	*db = s;
	return PL_OK;
}

void pl_sql_close(struct pl_sql *db)
{
	if (!db)
		return;
	sqlite3_close(db->db);
	free(db->sources);
	free(db);
}

static bool identifier(const char *name)
{
	if (!name || !*name || strspn(name, "0123456789") > 0 || strlen(name) > 100)
		return false;
	return name[strspn(name, IDENTIFIER)] == '\0';
}

/* Connecting a virtual table parses a CREATE TABLE, which the authorizer would
 * refuse: do it here, where the SQL is ours, and once for the connection's life. */
static int register_and_connect(struct pl_sql *db, struct pl_sql_source *src)
{
	sqlite3_stmt *st = NULL;
	char sql[256];
	int rc = pl_sql_table_register(db->db, src);

	if (rc != SQLITE_OK)
		return rc;
	sqlite3_snprintf((int)sizeof(sql), sql, "SELECT 1 FROM \"%w\"", src->name);
	sqlite3_set_authorizer(db->db, NULL, NULL);
	rc = sqlite3_prepare_v2(db->db, sql, -1, &st, NULL);
	sqlite3_finalize(st);
	sqlite3_set_authorizer(db->db, authorize, db);
	return rc;
}

enum pl_status pl_sql_add(struct pl_sql *db, struct pl_sql_source *src, struct pl_err *err)
{
	struct pl_sql_source **more;
	int rc;

	if (!identifier(src->name) || reserved_name(src->name) || src->ncols == 0)
		return pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, NULL,
		    "cannot make a table named '%s'", src->name ? src->name : "");
	if (find_source(db, src->name))
		return pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, NULL, "table '%s' is there already",
		    src->name);
	for (size_t i = 0; i < src->ncols; i++) {
		if (sqlite3_stricmp(src->cols[i].name, "_rowid_") == 0)
			return pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, NULL,
			    "table '%s': no column may be named '_rowid_'", src->name);
	}
	more = realloc(db->sources, (db->n + 1) * sizeof(struct pl_sql_source *));
	if (!more)
		return pl_fail_nomem(err);
	db->sources = more;
	rc = register_and_connect(db, src);
	if (rc == SQLITE_NOMEM)
		return pl_fail_nomem(err);
	if (rc != SQLITE_OK)
		return pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, NULL, "cannot make table '%s': %s",
		    src->name, sqlite3_errmsg(db->db));
	db->sources[db->n++] = src;
	return PL_OK;
}

/* Skip one quoted string, name or comment at s; NULL = it does not end. A plain
 * byte is skipped alone. */
static const char *skip_token(const char *s)
{
	const char *end = s + 1;
	char close;

	if (s[0] == '-' && s[1] == '-')
		return s + strcspn(s, "\n");
	if (s[0] == '/' && s[1] == '*') {
		end = strstr(s + 2, "*/");
		return end ? end + 2 : NULL;
	}
	if (!strchr("'\"`[", s[0]))
		return s + 1;
	close = s[0] == '[' ? ']' : s[0];
	/* a doubled quote ends one string and begins the next: the same to us */
	end = strchr(end, close);
	return end ? end + 1 : NULL;
}

/* Our parentheses would make a scalar subquery of it: true or false for all rows alike. */
static bool begins_select(const char *s)
{
	static const char *const words[] = {"select", "values", "with"};

	for (size_t i = 0; i < PL_ARRAY_LEN(words); i++) {
		size_t n = strlen(words[i]);
		if (sqlite3_strnicmp(s, words[i], (int)n) == 0 && strspn(s, IDENTIFIER) == n)
			return true;
	}
	return false;
}

/* The condition is put between parentheses: it must not be able to close them. */
static const char *not_one_expression(const char *condition)
{
	size_t depth = 0, tokens = 0;
	const char *next;

	for (const char *s = condition; *s; s = next) {
		next = skip_token(s);
		if (!next)
			return "a quote, bracket or comment is not closed";
		if (*s == ';')
			return "';' has no place in a condition";
		if (*s == ')' && depth == 0)
			return "')' without '('";
		if (*s == '(')
			depth++;
		else if (*s == ')')
			depth--;
		if (strchr(" \t\r\n\f", *s) || (s[0] == '-' && s[1] == '-') ||
		    (s[0] == '/' && s[1] == '*'))
			continue;
		if (tokens++ == 0 && begins_select(s))
			return "it is a query; a subquery needs its own parentheses";
	}
	if (depth > 0)
		return "'(' without ')'";
	return tokens == 0 ? "it is empty" : NULL;
}

/* "; columns: a, b, ...", after the nearest one when SQLite named a column it does not know. */
static void add_columns(const struct pl_sql_source *src, const char *text, struct pl_buf *out)
{
	static const char unknown[] = "no such column: ";
	const char **names = calloc(src->ncols + 1, sizeof(*names));
	const char *near = NULL, *first = "; columns: ";
	enum pl_status st = PL_OK;

	for (size_t i = 0; names && i < src->ncols; i++)
		names[i] = src->cols[i].name;
	if (names && strncmp(text, unknown, sizeof(unknown) - 1) == 0)
		near = pl_did_you_mean(text + sizeof(unknown) - 1, names);
	free(names);
	if (near) {
		st = pl_buf_addf(out, NULL, "; did you mean '%s'?", near);
		first = " Columns: ";
	}
	for (size_t i = 0; i < src->ncols && st == PL_OK; i++)
		st = pl_buf_addf(out, NULL, "%s%s", i > 0 ? ", " : first, src->cols[i].name);
}

/* What SQLite says about the statement just prepared or run. prefix: bytes of
 * the SQL before the user's text. src: whose columns to list, may be NULL. */
static enum pl_status sql_error(struct pl_sql *db, const char *what, const char *text, int prefix,
    const struct pl_sql_source *src, struct pl_err *err)
{
	const char *words = db->denied[0] ? db->denied : sqlite3_errmsg(db->db);
	int at = sqlite3_error_offset(db->db), code = sqlite3_errcode(db->db);
	char place[40] = "";
	struct pl_buf more;

	if (code == SQLITE_NOMEM)
		return pl_fail_nomem(err);
	if (code == SQLITE_INTERRUPT)
		return pl_fail(err, PL_ERR_LIMIT, PL_SEV_JOB, NULL,
		    "%s \"%.200s\" takes more than %d steps per row: is there a subquery over all "
		    "rows in it?",
		    what, text, (int)TICK_STEPS);
	if (at >= prefix && (size_t)(at - prefix) <= strlen(text))
		sqlite3_snprintf((int)sizeof(place), place, " at character %d", at - prefix + 1);
	pl_buf_init(&more, 4096);
	if (src)
		add_columns(src, words, &more);
	pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "%s \"%.200s\"%s: %s%s", what, text, place,
	    words, more.data ? (const char *)more.data : "");
	pl_buf_release(&more);
	return PL_ERR_USAGE;
}

/* A statement of `before` (with the table's name), one expression between parentheses, `after`. what: it is called so in messages. */
static enum pl_status prepare_expression(struct pl_sql *db, const struct pl_sql_source *src, const char *what, const char *text,
    const char *before, const char *after, sqlite3_stmt **st, struct pl_err *err)
{
	const char *why = not_one_expression(text), *tail = NULL;
	char *head, *end, *sql;
	int rc, prefix;

	if (find_source(db, src->name) != src)
		return pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, NULL,
		    "table '%s' was not registered", src->name);
	if (why)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL,
		    "%s \"%.200s\" is not one SQL expression: %s", what, text, why);
	head = sqlite3_mprintf(before, src->name);
	end = sqlite3_mprintf(after, src->name);
	/* the newline ends a comment at the expression's end */
	sql = head && end ? sqlite3_mprintf("%s%s\n%s", head, text, end) : NULL;
	prefix = head ? (int)strlen(head) : 0;
	sqlite3_free(head);
	sqlite3_free(end);
	if (!sql)
		return pl_fail_nomem(err);
	db->denied[0] = '\0';
	rc = sqlite3_prepare_v2(db->db, sql, -1, st, &tail);
	if (rc == SQLITE_OK && *st && *tail == '\0') {
		sqlite3_free(sql);
		return PL_OK;
	}
	if (rc == SQLITE_OK)
		pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL,
		    "%s \"%.200s\" is not one SQL expression", what, text);
	sqlite3_free(sql);
	sqlite3_finalize(*st);
	*st = NULL;
	if (rc == SQLITE_OK)
		return PL_ERR_USAGE;
	return sql_error(db, what, text, prefix, src, err);
}

static enum pl_status too_many_rows(const struct pl_sql_source *src, struct pl_err *err)
{
	if (src->nrows <= INT64_MAX)
		return PL_OK;
	return pl_fail(err, PL_ERR_LIMIT, PL_SEV_JOB, NULL, "table '%s' has too many rows", src->name);
}

enum pl_status pl_sql_where(struct pl_sql *db, const struct pl_sql_source *src,
    const char *condition, uint8_t *keep, struct pl_err *err)
{
	sqlite3_stmt *stmt = NULL;
	enum pl_status st;
	int rc;

	st = too_many_rows(src, err);
	/* per-row by nature, so SQLite refuses aggregates and window functions in it with its own words */
	if (st == PL_OK)
		st = prepare_expression(db, src, "condition", condition, "SELECT _rowid_ FROM \"%w\" WHERE (", ")", &stmt, err);
	if (st != PL_OK)
		return st;
	memset(keep, 0, (size_t)src->nrows);
	/* steps, not seconds: whether a condition is refused must not depend on the machine */
	db->ticks_left = FREE_TICKS + src->nrows;
	db->counting = true;
	while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		uint64_t row = (uint64_t)sqlite3_column_int64(stmt, 0);
		if (row < src->nrows)
			keep[row] = 1;
	}
	db->counting = false;
	if (rc != SQLITE_DONE)
		st = sql_error(db, "condition", condition, 0, NULL, err);
	sqlite3_finalize(stmt);
	return st;
}

/* A value that depends on other rows would depend on how the corpus is cut into shards. */
static enum pl_status refuse_aggregates(struct pl_sql *db, const struct pl_sql_source *src, const char *expression, struct pl_err *err)
{
	sqlite3_stmt *stmt = NULL;
	enum pl_status st = prepare_expression(db, src, "expression", expression, "SELECT 1 FROM \"%w\" WHERE (", ") IS NULL", &stmt, err);

	sqlite3_finalize(stmt);
	return st;
}

enum pl_status pl_sql_text(struct pl_sql *db, const struct pl_sql_source *src, const char *expression,
    pl_sql_text_fn *each, void *ctx, struct pl_err *err)
{
	sqlite3_stmt *stmt = NULL;
	uint64_t row = 0;
	enum pl_status st = too_many_rows(src, err);
	int rc = SQLITE_DONE;

	if (st == PL_OK)
		st = refuse_aggregates(db, src, expression, err);
	if (st == PL_OK)
		st = prepare_expression(db, src, "expression", expression, "SELECT _rowid_, CAST((", ") AS TEXT) FROM \"%w\"", &stmt, err);
	if (st != PL_OK)
		return st;
	db->ticks_left = FREE_TICKS + src->nrows;
	db->counting = true;
	/* a scan gives the rows in their order: sql_table.c */
	while (st == PL_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW && (uint64_t)sqlite3_column_int64(stmt, 0) == row) {
		const char *text = (const char *)sqlite3_column_text(stmt, 1);
		st = each(ctx, row++, text, (size_t)sqlite3_column_bytes(stmt, 1), err);
	}
	db->counting = false;
	if (st == PL_OK && rc != SQLITE_DONE && rc != SQLITE_ROW)
		st = sql_error(db, "expression", expression, 0, NULL, err);
	else if (st == PL_OK && row != src->nrows)
		st = pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "expression \"%.200s\" does not give one value for each row", expression);
	sqlite3_finalize(stmt);
	return st;
}

/* Is there nothing but space, ';' and comments behind the statement? */
static bool blank(struct pl_sql *db, const char *tail)
{
	while (*tail) {
		sqlite3_stmt *st = NULL;
		const char *rest = tail;
		int rc = sqlite3_prepare_v2(db->db, tail, -1, &st, &rest);
		bool statement = rc != SQLITE_OK || st;
		sqlite3_finalize(st);
		if (statement || rest == tail)
			return false;
		tail = rest;
	}
	return true;
}

enum pl_status pl_sql_query(struct pl_sql *db, const char *query, void *ctx,
    int (*header)(void *ctx, sqlite3_stmt *st), int (*row)(void *ctx, sqlite3_stmt *st),
    struct pl_err *err)
{
	sqlite3_stmt *stmt = NULL;
	const char *tail = NULL;
	enum pl_status st = PL_OK;
	int rc;

	db->denied[0] = '\0';
	rc = sqlite3_prepare_v2(db->db, query, -1, &stmt, &tail);
	if (rc != SQLITE_OK)
		return sql_error(db, "query", query, 0, NULL, err);
	if (!stmt || !blank(db, tail) || sqlite3_column_count(stmt) == 0 ||
	    !sqlite3_stmt_readonly(stmt)) {
		sqlite3_finalize(stmt);
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL,
		    "query \"%.200s\" is not one SELECT", query);
	}
	db->denied[0] = '\0';
	rc = SQLITE_DONE;
	if (!header || header(ctx, stmt) == 0) {
		while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
			if (row && row(ctx, stmt) != 0) {
				rc = SQLITE_DONE;
				break;
			}
		}
	}
	if (rc != SQLITE_DONE)
		st = sql_error(db, "query", query, 0, NULL, err);
	sqlite3_finalize(stmt);
	return st;
}
