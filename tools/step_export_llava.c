/* SPDX-License-Identifier: Apache-2.0 */
/* LLaVA's JSON and its folder of images. A unit writes its images into a
 * folder of its own, which appears under its name when it is whole, and its
 * entries into a file that the end of the job joins with the others. */
#include "export.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const marks[] = { "<image>", NULL };

struct llava_state {
	struct pl_outfile entries;
	bool opened;
	uint64_t n;              /* entries so far */
	char *tmp, *dir;         /* folder of the images, while it is made and when it is whole */
	struct pl_buf line, turn;
	struct pl_names images;  /* "images/000000/NAME" */
};

/* ---- folders ---- */

/* Remove a folder of files; none is fine. */
static enum pl_status remove_folder(const char *path, struct pl_err *err)
{
	DIR *d = opendir(path);
	struct dirent *e;
	bool fine = true;

	if (d == NULL)
		return errno == ENOENT ? PL_OK : pl_fail_errno(err, PL_SEV_JOB, path, "cannot read the directory");
	while (fine && (e = readdir(d)) != NULL)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			fine = unlinkat(dirfd(d), e->d_name, 0) == 0;
	if (fine)
		fine = rmdir(path) == 0;
	if (!fine)
		(void)pl_fail_errno(err, PL_SEV_JOB, path, "cannot remove the old images");
	closedir(d);
	return fine ? PL_OK : PL_ERR_IO;
}

/* Written without a sync of its own: one for the file system comes before the folder gets its name. */
static enum pl_status write_image(struct llava_state *l, const char *name, const struct shard_part *p, struct pl_err *err)
{
	char *path = pl_path_join(l->tmp, name);
	int fd = path != NULL ? open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666) : -1;
	size_t done = 0;
	enum pl_status st = PL_OK;

	if (path == NULL)
		return pl_fail_nomem(err);
	while (fd >= 0 && done < p->len) {
		ssize_t n = write(fd, p->data + done, p->len - done);
		if (n < 0 && errno != EINTR)
			break;
		done += n > 0 ? (size_t)n : 0;
	}
	if (fd < 0 || done < p->len)
		st = pl_fail_errno(err, PL_SEV_JOB, path, "cannot write the image");
	if (fd >= 0 && close(fd) != 0 && st == PL_OK)
		st = pl_fail_errno(err, PL_SEV_JOB, path, "cannot write the image");
	free(path);
	return st;
}

static enum pl_status publish(struct llava_state *l, struct pl_err *err)
{
	int fd = open(l->tmp, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool fine = fd >= 0 && syncfs(fd) == 0;
	enum pl_status st;

	if (fd >= 0)
		close(fd);
	if (!fine)
		return pl_fail_errno(err, PL_SEV_JOB, l->tmp, "cannot be made durable");
	st = remove_folder(l->dir, err);
	if (st == PL_OK && rename(l->tmp, l->dir) != 0)
		st = pl_fail_errno(err, PL_SEV_JOB, l->dir, "cannot be named so");
	return st;
}

/* ---- units ---- */

static enum pl_status make_paths(struct export_unit *u, struct llava_state *l, struct pl_buf *entries, struct pl_err *err)
{
	const char *dir = u->x->step->dir;
	struct pl_buf b;
	enum pl_status st;

	pl_buf_init(&b, 0);
	st = pl_buf_addf(&b, err, "%s/images/.tmp-%s", dir, u->stem);
	l->tmp = st == PL_OK ? pl_buf_detach(&b, NULL) : NULL;
	if (st == PL_OK)
		st = pl_buf_addf(&b, err, "%s/images/%s", dir, u->stem);
	l->dir = st == PL_OK ? pl_buf_detach(&b, NULL) : NULL;
	if (st == PL_OK)
		st = pl_buf_addf(entries, err, "%s/.plait/%s.entries", dir, u->stem);
	pl_buf_release(&b);
	return st;
}

static enum pl_status begin(struct export_unit *u, struct pl_err *err)
{
	struct llava_state *l = calloc(1, sizeof(*l));
	struct pl_buf entries;
	enum pl_status st;

	if (l == NULL)
		return pl_fail_nomem(err);
	u->state = l;
	pl_buf_init(&l->line, 0);
	pl_buf_init(&l->turn, 0);
	pl_buf_init(&entries, 0);
	pl_names_init(&l->images);
	st = make_paths(u, l, &entries, err);
	if (st == PL_OK)
		st = remove_folder(l->tmp, err);
	if (st == PL_OK)
		st = pl_mkdirs(l->tmp, err);
	if (st == PL_OK)
		st = pl_outfile_open(&l->entries, (char *)entries.data, err);
	l->opened = st == PL_OK;
	pl_buf_release(&entries);
	return st;
}

static void release(struct export_unit *u)
{
	struct llava_state *l = u->state;

	if (l == NULL)
		return;
	if (l->opened)
		pl_outfile_abort(&l->entries);
	if (l->tmp != NULL)
		(void)!remove_folder(l->tmp, NULL);
	pl_buf_release(&l->line);
	pl_buf_release(&l->turn);
	pl_names_release(&l->images);
	free(l->tmp);
	free(l->dir);
	free(l);
}

/* ---- conversations ---- */

struct turns {
	json_t *list, *images;   /* images: parts in the order of their markers */
	const char *from;        /* of the turn in l->turn; NULL = none yet */
	bool answered, wrong;
};

static const char *speaker(const json_t *segment, bool pair)
{
	const char *role = pl_json_str(segment, "role");

	if (role != NULL)
		return strcmp(role, "assistant") == 0 ? "gpt" : "human";
	/* a pair without roles: the picture asks, the caption answers */
	return pair ? export_is_image(segment) ? "human" : "gpt" : NULL;
}

static enum pl_status end_turn(struct llava_state *l, struct turns *t, struct pl_err *err)
{
	json_t *turn;

	if (t->from == NULL)
		return PL_OK;
	turn = json_pack("{s:s,s:s}", "from", t->from, "value", (char *)l->turn.data);
	pl_buf_clear(&l->turn);
	return turn != NULL && json_array_append_new(t->list, turn) == 0 ? PL_OK : pl_fail_nomem(err);
}

static enum pl_status add_images(struct llava_state *l, struct turns *t, const struct export_sample *s, const json_t *segment, struct pl_err *err)
{
	const char *part = pl_json_str(segment, "part");
	const json_t *tiles = part == NULL ? json_object_get(segment, "tiles") : NULL;
	size_t n = part != NULL ? 1 : json_array_size(tiles);
	enum pl_status st = PL_OK;

	t->wrong = t->wrong || n == 0 || strcmp(t->from, "human") != 0;
	for (size_t i = 0; i < n && st == PL_OK; i++) {
		const char *name = part != NULL ? part : json_string_value(json_array_get(tiles, i));
		if (export_part(s, name) == NULL)
			t->wrong = true;
		else if (json_array_append_new(t->images, json_string(name)) != 0)
			st = pl_fail_nomem(err);
		if (st == PL_OK)
			st = pl_buf_adds(&l->turn, i > 0 || l->turn.len > 0 ? "\n<image>" : "<image>", err);
	}
	return st;
}

static enum pl_status add_segment(struct llava_state *l, struct turns *t, const struct export_sample *s, const json_t *segment, bool pair,
    struct pl_err *err)
{
	const char *from = speaker(segment, pair), *text = export_text(segment);
	enum pl_status st = PL_OK;

	if (from == NULL || (t->from == NULL && strcmp(from, "human") != 0)) {
		t->wrong = true;
		return PL_OK;
	}
	if (t->from == NULL || strcmp(t->from, from) != 0) {
		st = end_turn(l, t, err);
		t->from = from;
	}
	t->answered = strcmp(from, "gpt") == 0;
	if (st == PL_OK && text == NULL)
		return add_images(l, t, s, segment, err);
	if (st == PL_OK && l->turn.len > 0)
		st = pl_buf_adds(&l->turn, "\n", err);
	return st == PL_OK ? export_put_words(&l->turn, text, marks, err) : st;
}

/* Pairs with the caption first are turned round: LLaVA's first turn is the human's. */
static enum pl_status add_segments(struct llava_state *l, struct turns *t, const struct export_sample *s, struct pl_err *err)
{
	const char *kind = pl_json_str(s->doc, "kind");
	bool pair = kind != NULL && strcmp(kind, "pairs") == 0;
	json_t *segment;
	size_t i;
	enum pl_status st = PL_OK;

	for (int pass = 0; pass < 2; pass++) {
		json_array_foreach(json_object_get(s->doc, "segments"), i, segment) {
			const char *branch = pl_json_str(segment, "branch");
			bool late = pair && pl_json_str(segment, "role") == NULL && !export_is_image(segment);
			if (st == PL_OK && late == (pass == 1) && (branch == NULL || strcmp(branch, "rejected") != 0))
				st = add_segment(l, t, s, segment, pair, err);
		}
	}
	return st == PL_OK ? end_turn(l, t, err) : st;
}

/* "000000/KEY.0.webp" of each image; one as it is, several as a list. */
static json_t *image_names(const struct export_unit *u, const struct export_sample *s, const struct turns *t)
{
	json_t *names = json_array(), *name, *one;
	size_t i;

	json_array_foreach(t->images, i, name)
		if (json_array_append_new(names, json_sprintf("%s/%s.%s", u->stem, s->raw->key, json_string_value(name))) != 0) {
			json_decref(names);
			return NULL;
		}
	if (json_array_size(names) != 1)
		return names;
	one = json_incref(json_array_get(names, 0));
	json_decref(names);
	return one;
}

static enum pl_status put_entry(struct export_unit *u, const struct export_sample *s, const struct turns *t, struct pl_err *err)
{
	struct llava_state *l = u->state;
	json_t *entry = json_pack("{s:s}", "id", s->raw->key);
	enum pl_status st = PL_OK;

	if (entry == NULL || (json_array_size(t->images) > 0 && json_object_set_new(entry, "image", image_names(u, s, t)) != 0) ||
	    json_object_set(entry, "conversations", t->list) != 0)
		st = pl_fail_nomem(err);
	pl_buf_clear(&l->line);
	if (st == PL_OK && l->n > 0)
		st = pl_buf_adds(&l->line, ",\n", err);
	if (st == PL_OK)
		st = pl_json_dump(entry, false, &l->line, err);
	if (st == PL_OK)
		st = pl_outfile_write(&l->entries, l->line.data, l->line.len, err);
	l->n++;
	json_decref(entry);
	return st;
}

static enum pl_status put_images(struct export_unit *u, const struct export_sample *s, const struct turns *t, struct pl_err *err)
{
	struct llava_state *l = u->state;
	json_t *name;
	size_t i;
	enum pl_status st = PL_OK;

	json_array_foreach(t->images, i, name) {
		const struct shard_part *p = export_part(s, json_string_value(name));
		struct pl_buf file;
		pl_buf_init(&file, 0);
		if (st == PL_OK)
			st = pl_buf_addf(&file, err, "images/%s/%s.%s", u->stem, s->raw->key, json_string_value(name));
		if (st == PL_OK)
			st = write_image(l, strrchr((char *)file.data, '/') + 1, p, err);
		if (st == PL_OK)
			st = pl_names_add(&l->images, (char *)file.data, err);
		u->account.bytes_out += p->len;
		pl_buf_release(&file);
	}
	return st;
}

static enum pl_status sample(struct export_unit *u, const struct export_sample *s, enum pl_reason *why, struct pl_err *err)
{
	struct llava_state *l = u->state;
	struct turns t = { json_array(), json_array(), NULL, false, false };
	enum pl_status st = t.list == NULL || t.images == NULL ? pl_fail_nomem(err) : PL_OK;

	pl_buf_clear(&l->turn);
	if (st == PL_OK)
		st = add_segments(l, &t, s, err);
	/* *why is BAD_DOCUMENT: no conversation that a human begins and an answer ends */
	if (st == PL_OK && !t.wrong && t.answered && strchr(s->raw->key, '/') == NULL) {
		*why = PL_REASON_KEEP;
		st = put_images(u, s, &t, err);
		if (st == PL_OK)
			st = put_entry(u, s, &t, err);
	}
	json_decref(t.list);
	json_decref(t.images);
	return st;
}

static enum pl_status commit(struct export_unit *u, struct pl_err *err)
{
	struct llava_state *l = u->state;
	struct pl_buf name;
	enum pl_status st = publish(l, err);

	pl_buf_init(&name, 0);
	u->account.bytes_out += l->entries.bytes;
	if (st == PL_OK) {
		l->opened = false;
		st = pl_outfile_commit(&l->entries, err);
	}
	if (st == PL_OK)
		st = pl_buf_addf(&name, err, ".plait/%s.entries", u->stem);
	if (st == PL_OK)
		st = export_add_file(u, (char *)name.data, false, err);
	for (size_t i = 0; i < l->images.len && st == PL_OK; i++)
		st = export_add_file(u, l->images.items[i], false, err);
	pl_buf_clear(&name);
	if (st == PL_OK)
		st = pl_buf_addf(&name, err, "images/%s", u->stem);
	if (st == PL_OK && json_array_append_new(json_object_get(u->description, "files"), json_string((char *)name.data)) != 0)
		st = pl_fail_nomem(err);
	pl_buf_release(&name);
	return st;
}

/* ---- the end ---- */

static enum pl_status join_unit(struct export *x, const json_t *unit, struct pl_outfile *out, bool *any, struct pl_err *err)
{
	const char *folder = json_string_value(json_array_get(json_object_get(unit, "files"), 0)), *stem = strrchr(folder, '/') + 1;
	struct pl_buf path;
	char *text = NULL;
	size_t len = 0;
	enum pl_status st;

	pl_buf_init(&path, 0);
	st = pl_buf_addf(&path, err, "%s/.plait/%s.entries", x->step->dir, stem);
	if (st == PL_OK)
		st = pl_file_read((char *)path.data, (size_t)8 << 30, &text, &len, err);
	if (st == PL_OK && len > 0) {
		st = pl_outfile_write(out, *any ? ",\n" : "[\n", 2, err);
		*any = true;
	}
	if (st == PL_OK)
		st = pl_outfile_write(out, text, len, err);
	free(text);
	pl_buf_release(&path);
	return st;
}

static enum pl_status finish(struct export *x, const json_t *units, struct pl_err *err)
{
	char *path = pl_path_join(x->step->dir, "llava.json");
	struct pl_outfile out;
	bool any = false;
	json_t *unit;
	size_t i;
	enum pl_status st = path != NULL ? pl_outfile_open(&out, path, err) : pl_fail_nomem(err);

	if (st != PL_OK) {
		free(path);
		return st;
	}
	json_array_foreach(units, i, unit) {
		if (st == PL_OK)
			st = join_unit(x, unit, &out, &any, err);
		if (st == PL_OK)
			st = tool_poll(x->tool, err);
	}
	if (st == PL_OK)
		st = pl_outfile_write(&out, any ? "\n]\n" : "[]\n", 3, err);
	if (st == PL_OK)
		st = pl_outfile_commit(&out, err);
	else
		pl_outfile_abort(&out);
	if (st == PL_OK)
		st = tool_announce(x->tool, path, err);
	free(path);
	return st;
}

const struct export_format export_llava = { begin, sample, commit, release, finish };
