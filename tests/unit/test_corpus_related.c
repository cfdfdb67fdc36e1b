/* SPDX-License-Identifier: Apache-2.0 */
/* Files whose records refer to each other: COCO, VQA, MIMIC-IT. How they are laid out, how they are split, what is found; and
 * images as a JSON of base64. */
#include "corpus_fixture.h"

#include "libpipe/corpus/image_index.h"
#include "libpipe/corpus/image_json.h"
#include "libpipe/corpus/records.h"
#include "libpipe/corpus/related.h"

static const char *save_text(const char *name, const char *text)
{
	struct pl_err err;

	OK(pl_file_write(in_scratch(name), text, strlen(text), &err));
	return in_scratch(name);
}

/* ---- layout ---- */

static void test_layout(void **state)
{
	static const struct { const char *text; enum pl_layout_kind kind; bool complete; } files[] = {
		{"{\"info\":{\"images\":1},\"images\":[{\"annotations\":[]}],\"annotations\":[]}", PL_LAYOUT_COCO, true},
		{"\xEF\xBB\xBF \n{ \"annotations\" : [1,2] , \"images\"\n:\t[] } \n", PL_LAYOUT_COCO, true},
		{"{\"annotations\":[{\"caption\":\"}]\\\"\"}],\"images\":[", PL_LAYOUT_COCO, false},
		{"{\"meta\":{},\"data\":{\"a\":{}}}", PL_LAYOUT_DATA, true},
		{"{\"data\":[],\"meta\":{}}", PL_LAYOUT_PLAIN, true},
		{"{\"questions\":[],\"data_subtype\":\"train2014\"}", PL_LAYOUT_QUESTIONS, true},
		{"{\"annotations\":[]}", PL_LAYOUT_ANSWERS, true},
		{"{\"annotations\":[],\"images\":[]}{\"annotations\":[]}", PL_LAYOUT_PLAIN, true},
		{"{\"annotations\":[],\"images\":[],\"conversations\":[]}", PL_LAYOUT_PLAIN, true},
		{"{\"annot\\u0061tions\":[],\"images\":[]}", PL_LAYOUT_PLAIN, true},
		{"[{\"annotations\":[],\"images\":[]}]", PL_LAYOUT_PLAIN, false},
		{"\"annotations\"", PL_LAYOUT_PLAIN, false},
		{"", PL_LAYOUT_PLAIN, false},
		{"{", PL_LAYOUT_PLAIN, false},
		{"}", PL_LAYOUT_PLAIN, false},
		{"{\"a\":{]}}}}", PL_LAYOUT_PLAIN, true},
		{"{\"questions\":[]", PL_LAYOUT_QUESTIONS, false},
		{"{\"questions\":\"[]\"}", PL_LAYOUT_PLAIN, true},
	};
	struct pl_layout l;
	struct pl_err err;

	(void)state;
	for (size_t i = 0; i < PL_ARRAY_LEN(files); i++) {
		OK(pl_layout_read(save_text("l.json", files[i].text), &l, &err));
		if (l.kind != files[i].kind || l.complete != files[i].complete)
			fail_msg("%s: kind %d, complete %d", files[i].text, l.kind, l.complete);
	}
	OK(pl_layout_read(save_text("l.json", "{\"data_subtype\":\"val2014\", \"questions\": []}"), &l, &err));
	assert_string_equal(l.image_set, "val2014");
	assert_int_equal(pl_layout_member(&l, "questions")->offset, 40);
	OK(pl_layout_read(save_text("l.json", "{\"data_subtype\":\"../../etc\", \"questions\": []}"), &l, &err));
	assert_string_equal(l.image_set, "");
}

/* ---- splitting ---- */

/* Records, each ended by '|', then the status at the end. */
static const char *split(const char *name, const char *part, bool members)
{
	static char line[1024];
	struct pl_records *r;
	struct pl_record_text t;
	struct pl_err err;
	enum pl_status st;
	size_t n = 0;

	OK(members ? pl_records_open_members(&r, in_scratch(name), 0, &err) : pl_records_open_part(&r, in_scratch(name), part, 0, &err));
	line[0] = '\0';
	while ((st = pl_records_next(r, &t, &err)) == PL_OK)
		n += (size_t)snprintf(line + n, sizeof(line) - n, "%.*s|", (int)t.len, t.text);
	snprintf(line + n, sizeof(line) - n, "%s", st == PL_END ? "end" : st == PL_ERR_TRUNCATED ? "cut" : "bad");
	pl_records_close(r);
	return line;
}

static void test_parts(void **state)
{
	static const struct { const char *text, *part, *records; } files[] = {
		{"{\"images\":[{\"id\":1}, 7],\"annotations\": [ {\"a\":\"]\"} ,{}\n] , \"x\":[9]}", NULL, "{\"a\":\"]\"}|{}|end"},
		{"{\"images\":[{\"id\":1}, 7],\"annotations\":[]}", "images", "{\"id\":1}|7|end"},
		{"{\"images\":[{\"id\":1}, 7],\"annotations\":[]}", "absent", "end"},
		{"{\"annotations\":[1,2],\"images\":[", NULL, "1|2|cut"},
		{"{\"images\":[],\"annotations\":[1,{\"a\":", NULL, "1|cut"},
		{"{\"images\":[],\"annotations\":[1 2]}", NULL, "1|bad"},
		{"{\"data\": {\"a\": {\"x\":[\"}\"]} , \"b\"\n:\n7,\"c\":\"d\"},\"meta\":{}}", NULL, "\"a\": {\"x\":[\"}\"]}|\"b\"\n:\n7|\"c\":\"d\"|end"},
		{"{\"data\":{}}", NULL, "end"},
		{"{\"data\":{\"a\"}}", NULL, "bad"},
		{"{\"data\":{\"a\":}}", NULL, "bad"},
		{"{\"data\":{7:8}}", NULL, "bad"},
		{"{\"data\":{\"a\":1", NULL, "\"a\":1|cut"},
		{"{\"data\":{\"a\":", NULL, "cut"},
		{"{\"questions\":[1],\"annotations\":[2]}", "annotations", "2|end"},
		{"[1,2]", "annotations", "1|2|end"},
	};

	(void)state;
	for (size_t i = 0; i < PL_ARRAY_LEN(files); i++) {
		save_text("p.json", files[i].text);
		if (strcmp(split("p.json", files[i].part, false), files[i].records) != 0)
			fail_msg("%s: %s", files[i].text, split("p.json", files[i].part, false));
	}
	save_text("p.json", " {\"a\":\"b\", \"c\" : {} }");
	assert_string_equal(split("p.json", NULL, true), "\"a\":\"b\"|\"c\" : {}|end");
	save_text("p.json", "[1]");
	assert_string_equal(split("p.json", NULL, true), "bad");
	save_text("p.json", "");
	assert_string_equal(split("p.json", NULL, true), "end");
}

/* ---- looking up ---- */

/* All documents of a file, each as its texts and [images], '|' behind each, "!reason" where it is refused. */
static const char *read_all(const char *path, struct pl_source *source, uint32_t *missing)
{
	static char line[4096];
	struct pl_related *related = NULL;
	struct pl_records *r;
	struct pl_record_text t;
	struct pl_document d;
	struct pl_err err;
	size_t n = 0;

	OK(pl_related_load(&related, path, source, &err));
	OK(pl_records_open_part(&r, path, pl_source_part(source), 0, &err));
	pl_document_init(&d);
	line[0] = '\0';
	*missing = 0;
	while (pl_records_next(r, &t, &err) == PL_OK) {
		OK(pl_document_read_related(&d, &source->read, t.text, t.len, false, related, &err));
		*missing += d.related_missing;
		if (d.status != PL_REASON_KEEP)
			n += (size_t)snprintf(line + n, sizeof(line) - n, "!%s", pl_reason_name(d.status));
		for (size_t i = 0; i < d.nsegments && d.status == PL_REASON_KEEP; i++) {
			const struct pl_segment *s = &d.segments[i];
			n += (size_t)snprintf(line + n, sizeof(line) - n, "%s%s%s%s", s->loss ? "*" : "", s->is_image ? "[" : "",
			    s->is_image ? d.images[s->image].name : s->text, s->is_image ? "]" : " ");
		}
		n += (size_t)snprintf(line + n, sizeof(line) - n, "|");
		assert_true(n < sizeof(line));
	}
	pl_document_release(&d);
	pl_records_close(r);
	pl_related_close(related);
	return line;
}

#define COCO "{\"annotations\":[{\"image_id\":2,\"id\":1,\"caption\":\" a \"},{\"image_id\":\"1\",\"id\":2,\"caption\":\"b\"}," \
	"{\"image_id\":2,\"id\":3,\"caption\":\"\"},{\"image_id\":2,\"id\":4,\"caption\":\"c\"},{\"image_id\":9,\"id\":5,\"caption\":\"d\"}," \
	"{\"image_id\":{},\"caption\":\"e\"},{\"image_id\":1,\"bbox\":[0]}]," \
	"\"images\":[{\"id\":1,\"file_name\":\"one.jpg\"},{\"id\":2,\"file_name\":\"two.jpg\"},{\"id\":3,\"file_name\":\"three.jpg\"}," \
	"{\"id\":2,\"file_name\":\"again.jpg\"},\"no object\",{\"id\":4}]}"

static void test_coco(void **state)
{
	struct pl_source s = {.read.kind = PL_KIND_PAIRS};
	uint32_t missing;
	const char *path;

	(void)state;
	path = save_text("coco.json", COCO);
	assert_string_equal(read_all(path, &s, &missing), "[two.jpg]*a |[one.jpg]*b |!no_text|[two.jpg]*c |!no_image|!no_image|!no_text|");
	s.read.captions_per_image = PL_CAPTIONS_FIRST;
	assert_string_equal(read_all(path, &s, &missing), "[one.jpg]*b |[two.jpg]*a |!no_text|[again.jpg]*a |!no_image|!no_image|");
	s.read.captions_per_image = PL_CAPTIONS_DRAW;
	assert_string_equal(read_all(path, &s, &missing), "[one.jpg]*b |[two.jpg]*a *c |!no_text|[again.jpg]*a *c |!no_image|!no_image|");
}

static void test_vqa(void **state)
{
	static const char questions[] =
	    "{\"data_subtype\":\"val2014\",\"questions\":[{\"image_id\":42,\"question\":\"q1\",\"question_id\":421},"
	    "{\"image_id\":43,\"question\":\"q2 <image>\",\"question_id\":\"430\"},{\"image_id\":44,\"question\":\"q3\",\"question_id\":440},"
	    "{\"image\":\"x.jpg\",\"question\":\"q4\",\"question_id\":421}]";
	static const char answers[] = "\"annotations\":[{\"question_id\":430,\"answers\":[{\"answer\":\"no\"},{\"answer\":\"yes\"},"
	    "{\"answer\":\"yes\"}]},{\"question_id\":421,\"multiple_choice_answer\":\"one\"}]}";
	static const char want[] = "[COCO_val2014_000000000042.jpg]q1 *one |[COCO_val2014_000000000043.jpg]q2 <image> *yes |!no_text|[x.jpg]q4 *one |";
	struct pl_source s = {.read.kind = PL_KIND_CHAT};
	char text[2000];
	struct pl_related *none;
	struct pl_err err;
	uint32_t missing;

	(void)state;
	snprintf(text, sizeof(text), "%s,%s", questions, answers);
	assert_string_equal(read_all(save_text("q.json", text), &s, &missing), want);
	snprintf(text, sizeof(text), "{%s", answers);
	save_text("a.json", text);
	snprintf(text, sizeof(text), "%s}", questions);
	save_text("q.json", text);
	assert_int_equal(pl_related_load(&none, in_scratch("q.json"), &s, &err), PL_ERR_USAGE);
	assert_non_null(strstr(err.text, "--answers"));
	snprintf(text, sizeof(text), "%s", in_scratch("a.json"));
	s.answers = text;
	assert_string_equal(read_all(in_scratch("q.json"), &s, &missing), want);
}

static const char mimic[] =
    "{\"meta\":{},\"data\":{"
    "\"A\":{\"instruction\":\"qa\",\"answer\":\"aa\",\"image_ids\":[\"1\"],\"rel_ins_ids\":[\"B\",\"A\",\"B\",\"C\",\"gone\"]},"
    "\"B\":{\"instruction\":\"qb\",\"answer\":\"ab\",\"image_ids\":[\"2\",\"3\"],\"rel_ins_ids\":[\"A\"]},"
    "\"C\":{\"instruction\":\"qc\",\"answer\":\"ac\",\"image_ids\":[],\"rel_ins_ids\":[\"bad\",\"worse\",\"D\"]},"
    "\"D\":{\"instruction\":\"qd\",\"answer\":\"ad\",\"image_ids\":[\"4\"],\"rel_ins_ids\":[\"D\"]},"
    "\"bad\":{\"instruction\":\"qe\",\"answer\":\"ae\",\"image_ids\":[7]},"
    "\"worse\":[1],"
    "\"B\":{\"instruction\":\"second of that id\",\"answer\":\"x\",\"image_ids\":[]}}}";

/* One step deep: a cycle goes round once, oneself is not shown, the first of an id counts. */
static void test_in_context(void **state)
{
	struct pl_source s = {.read.kind = PL_KIND_IN_CONTEXT};
	uint32_t missing;
	const char *path;

	(void)state;
	path = save_text("m.json", mimic);
	assert_string_equal(read_all(path, &s, &missing),
	    "[2][3]qb ab qc ac [1]qa *aa |[1]qa aa [2][3]qb *ab |[4]qd ad qc *ac |[4]qd *ad |!bad_document|!bad_document|second of that id *x |");
	assert_int_equal(missing, 3);
	s.read.shots = 1;
	assert_string_equal(read_all(path, &s, &missing),
	    "[2][3]qb ab [1]qa *aa |[1]qa aa [2][3]qb *ab |[4]qd ad qc *ac |[4]qd *ad |!bad_document|!bad_document|second of that id *x |");
	s.read.shots = PL_SHOTS_NONE;
	assert_string_equal(read_all(path, &s, &missing),
	    "[1]qa *aa |[2][3]qb *ab |qc *ac |[4]qd *ad |!bad_document|!bad_document|second of that id *x |");
	s.read.shots = 0;
	path = save_text("m.jsonl", "{\"id\":7,\"instruction\":\"q\",\"answer\":\"a\",\"image_ids\":[],\"rel_ins_ids\":[\"x\"]}\n"
	                            "{\"id\":\"x\",\"instruction\":\"r\",\"answer\":\"b\",\"image_ids\":[],\"rel_ins_ids\":[7]}\n");
	assert_string_equal(read_all(path, &s, &missing), "r b q *a |q a r *b |");
}

/* Ids that a document could not have named: too long, with a NUL, not there. */
static void test_ids(void **state)
{
	char id[PL_RELATED_ID], big[PL_RELATED_ID + 10];
	json_t *v = json_stringn("a\0b", 3);

	(void)state;
	assert_false(pl_related_id(v, id));
	json_decref(v);
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	v = json_string(big);
	assert_false(pl_related_id(v, id));
	json_decref(v);
	v = json_integer(-5);
	assert_true(pl_related_id(v, id));
	assert_string_equal(id, "-5");
	json_decref(v);
	assert_false(pl_related_id(NULL, id));
}

/* Cut at every byte: never an error but in what is read, and what is read is right. */
static void test_cut(void **state)
{
	struct pl_source s = {.read.kind = PL_KIND_IN_CONTEXT};
	struct pl_related *r;
	struct pl_err err;
	const size_t whole = (size_t)(strstr(mimic, ",\"B\":") - mimic);
	json_t *v;

	(void)state;
	for (size_t n = 0; n < sizeof(mimic); n += 3) {
		OK(pl_file_write(in_scratch("cut.json"), mimic, n, &err));
		OK(pl_related_load(&r, in_scratch("cut.json"), &s, &err));
		OK(pl_related_get(r, "A", 0, &v, &err));
		assert_true((v != NULL) == (n >= whole));
		json_decref(v);
		OK(pl_related_get(r, "A", 1, &v, &err));
		assert_null(v);
		pl_related_close(r);
	}
}

/* ---- images as JSON ---- */

static void test_image_json(void **state)
{
	static const char text[] = "{\"a\":\"AAEC\", \"b\\u0062\" : \"data:image/png;base64,\\/\\/\\/\\/\",\n\"no\":7,\"bad\":\"?\",\"none\":\"\",\"c\":\"AA\\nE\\nCAw==\"}";
	static const struct { const char *id; size_t len; uint8_t bytes[4]; } want[] = {
		{"a", 3, {0, 1, 2}}, {"bb", 3, {255, 255, 255}}, {"c", 4, {0, 1, 2, 3}},
	};
	struct pl_image_index *x;
	struct pl_err err;
	enum pl_where where;
	uint64_t offset, length;
	uint32_t store;
	uint8_t *data;
	char path[600];
	char *const stores[] = {path};

	(void)state;
	snprintf(path, sizeof(path), "%s", save_text("images.json", text));
	assert_true(pl_image_json_name(path));
	assert_false(pl_image_json_name("a.tar"));
	OK(pl_image_index_build(path, scratch, 0, NULL, NULL, &err));
	OK(pl_image_index_open(&x, scratch, stores, 1, NULL, &err));
	for (size_t i = 0; i < PL_ARRAY_LEN(want); i++) {
		OK(pl_image_index_find(x, want[i].id, &where, &store, &offset, &length, &err));
		assert_int_equal(where, PL_WHERE_STORE);
		assert_int_equal(length, want[i].len);
		OK(pl_image_index_read(x, want[i].id, where, store, offset, length, &data, &err));
		assert_memory_equal(data, want[i].bytes, length);
		free(data);
	}
	assert_int_equal(pl_image_index_find(x, "bad", &where, &store, &offset, &length, &err), PL_ERR_NOTFOUND);
	assert_int_equal(pl_image_index_find(x, "none", &where, &store, &offset, &length, &err), PL_ERR_NOTFOUND);
	/* places that a wrong table could name */
	OK(pl_image_index_find(x, "a", &where, &store, &offset, &length, &err));
	assert_int_equal(pl_image_index_read(x, "a", where, store, offset, 99, &data, &err), PL_ERR_NOTFOUND);
	assert_int_equal(pl_image_index_read(x, "a", where, store, offset + 3, length, &data, &err), PL_ERR_NOTFOUND);
	assert_int_equal(pl_image_index_read(x, "a", where, store, 1 << 20, length, &data, &err), PL_ERR_TRUNCATED);
	pl_image_index_close(x);
}

/* An id without an extension stands for the file with one. */
static void test_stem(void **state)
{
	struct pl_image_index *x;
	struct pl_err err;
	enum pl_where where;
	uint64_t offset, length;
	uint32_t store;

	(void)state;
	save_text("LA_IMG_1.png", "four");
	save_text("v1.5.jpeg", "fives");
	OK(pl_image_index_open(&x, scratch, NULL, 0, scratch, &err));
	OK(pl_image_index_find(x, "LA_IMG_1", &where, &store, &offset, &length, &err));
	assert_int_equal(length, 4);
	OK(pl_image_index_find(x, "dir/v1.5", &where, &store, &offset, &length, &err));
	assert_int_equal(length, 5);
	assert_int_equal(pl_image_index_find(x, "LA_IMG_1.jpg", &where, &store, &offset, &length, &err), PL_ERR_NOTFOUND);
	assert_int_equal(pl_image_index_find(x, "LA_IMG", &where, &store, &offset, &length, &err), PL_ERR_NOTFOUND);
	pl_image_index_close(x);
}

static int setup(void **state)
{
	(void)state;
	scratch_make();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	scratch_remove_tree(scratch);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_layout),
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_coco),
		cmocka_unit_test(test_vqa),
		cmocka_unit_test(test_in_context),
		cmocka_unit_test(test_ids),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_image_json),
		cmocka_unit_test(test_stem),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
