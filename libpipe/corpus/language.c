/* SPDX-License-Identifier: Apache-2.0 */
/* libexttextcat (Cavnar and Trenkle's n-gram ranks) over a fixed choice of its
 * fingerprints: mC4's languages. With all 150 of them the rare ones win texts
 * that are not theirs (Scots takes half of English). */
#include "language.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#ifdef HAVE_TEXTCAT

#include <libexttextcat/textcat.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "libpipe/base/buf.h"
#include "libpipe/base/file.h"
#include "libpipe/base/hash.h"

enum { FINGERPRINT_MAX = 1 << 20 };

/* Where the build saw the library's data; the makefile gives the bare path. */
#ifndef LANGUAGES_DIR
#define LANGUAGES_DIR
#endif
#define QUOTED_AS_IS(...) #__VA_ARGS__
#define QUOTED(path) QUOTED_AS_IS(path)

/* Fingerprint without its ".lm", the ISO 639 code that is told, the script it is written in. By script: a text is compared with the
 * languages of its script only, of which the library tells texts apart that it gives up on among all (most short Chinese ones); and a
 * short one in Latin letters with the first COMMON only, the commonest on the web: the rare ones take texts that are not theirs, and time. */
static const struct { const char *file, *code, *script; } languages[] = {
	{"en", "en", "Latn"}, {"es", "es", "Latn"}, {"de", "de", "Latn"}, {"fr", "fr", "Latn"}, {"pt", "pt", "Latn"},
	{"it", "it", "Latn"}, {"nl", "nl", "Latn"}, {"pl", "pl", "Latn"}, {"tr", "tr", "Latn"}, {"vi", "vi", "Latn"},
	{"id", "id", "Latn"}, {"cs", "cs", "Latn"}, {"sv", "sv", "Latn"}, {"hu", "hu", "Latn"}, {"ro", "ro", "Latn"},
	{"da", "da", "Latn"}, {"fi", "fi", "Latn"}, {"sk", "sk", "Latn"}, {"nb", "nb", "Latn"}, {"ca", "ca", "Latn"},
	{"af", "af", "Latn"}, {"az", "az", "Latn"}, {"cy", "cy", "Latn"}, {"eo", "eo", "Latn"}, {"et", "et", "Latn"},
	{"eu", "eu", "Latn"}, {"fy", "fy", "Latn"}, {"ga", "ga", "Latn"}, {"gd", "gd", "Latn"}, {"gl", "gl", "Latn"},
	{"haw", "haw", "Latn"}, {"ht", "ht", "Latn"}, {"is", "is", "Latn"}, {"la", "la", "Latn"}, {"lb", "lb", "Latn"},
	{"lt", "lt", "Latn"}, {"lv", "lv", "Latn"}, {"mi", "mi", "Latn"}, {"ms", "ms", "Latn"}, {"mt", "mt", "Latn"},
	{"ny", "ny", "Latn"}, {"plt", "mg", "Latn"}, {"sl", "sl", "Latn"}, {"so", "so", "Latn"}, {"sq", "sq", "Latn"},
	{"st", "st", "Latn"}, {"sw", "sw", "Latn"}, {"tl", "tl", "Latn"}, {"uz", "uz", "Latn"}, {"xh", "xh", "Latn"},
	{"yo", "yo", "Latn"}, {"zu", "zu", "Latn"}, {"be", "be", "Cyrl"}, {"bg", "bg", "Cyrl"}, {"kk", "kk", "Cyrl"},
	{"ky", "ky", "Cyrl"}, {"mk", "mk", "Cyrl"}, {"mn", "mn", "Cyrl"}, {"ru", "ru", "Cyrl"}, {"sr-Cyrl", "sr", "Cyrl"},
	{"tg", "tg", "Cyrl"}, {"uk", "uk", "Cyrl"}, {"ar", "ar", "Arab"}, {"fa", "fa", "Arab"}, {"sd", "sd", "Arab"},
	{"ur", "ur", "Arab"}, {"ja", "ja", "Hani"}, {"zh-Hans", "zh", "Hani"}, {"zh-Hant", "zh", "Hani"}, {"hi", "hi", "Deva"},
	{"mr", "mr", "Deva"}, {"ne", "ne", "Deva"}, {"he", "he", "Hebr"}, {"yi", "yi", "Hebr"}, {"hy", "hy", "Armn"},
	{"bn", "bn", "Beng"}, {"am", "am", "Ethi"}, {"ka", "ka", "Geor"}, {"el", "el", "Grek"}, {"gu", "gu", "Gujr"},
	{"pa", "pa", "Guru"}, {"ko", "ko", "Hang"}, {"km", "km", "Khmr"}, {"kn", "kn", "Knda"}, {"lo", "lo", "Laoo"},
	{"ml", "ml", "Mlym"}, {"my", "my", "Mymr"}, {"si", "si", "Sinh"}, {"ta", "ta", "Taml"}, {"th", "th", "Thai"},
};
enum { LANGUAGES = PL_ARRAY_LEN(languages), COMMON = 20, COMMON_BYTES = 200, GROUPS_MAX = 32 };

/* The languages of one script that the directory has. */
struct group {
	const char *script;
	size_t n;
	const char *code;       /* of the last one: the answer when there is no other */
	void *library;
	candidate_t *found;
};

struct pl_language {
	struct group groups[GROUPS_MAX];   /* the first one: the common ones */
	size_t ngroups;
	char name[96];
};

/* "DIR/FILE.lm" is read for its hash; what the library lacks is left out. */
static enum pl_status add_fingerprint(const char *dir, size_t i, struct pl_hasher *h, struct pl_buf *list, struct group *g,
    struct pl_err *err)
{
	struct pl_buf path;
	char *text = NULL;
	size_t len = 0;
	enum pl_status st;

	pl_buf_init(&path, 0);
	st = pl_buf_addf(&path, err, "%s/%s.lm", dir, languages[i].file);
	if (st == PL_OK)
		st = pl_file_read((const char *)path.data, FINGERPRINT_MAX, &text, &len, err);
	pl_buf_release(&path);
	if (st == PL_ERR_NOTFOUND)
		return PL_OK;
	if (st != PL_OK)
		return st;
	pl_hasher_add(h, languages[i].file, strlen(languages[i].file) + 1);
	pl_hasher_add(h, text, len);
	free(text);
	g->n++;
	g->code = languages[i].code;
	return pl_buf_addf(list, err, "%s.lm\t%s\n", languages[i].file, languages[i].code);
}

/* The library wants its list as a file by name. */
static void *load(const char *dir, const struct pl_buf *list)
{
	int fd = memfd_create("languages", MFD_CLOEXEC);
	char name[40], prefix[4096];
	void *library = NULL;

	if (fd >= 0 && snprintf(prefix, sizeof(prefix), "%s/", dir) < (int)sizeof(prefix) &&
	    write(fd, list->data, list->len) == (ssize_t)list->len) {
		snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
		library = special_textcat_Init(name, prefix);
	}
	if (fd >= 0)
		close(fd);
	return library;
}

/* languages[from, to) are of one script. */
static enum pl_status open_group(struct group *g, const char *dir, size_t from, size_t to, struct pl_hasher *h, struct pl_err *err)
{
	struct pl_buf list;
	enum pl_status st = PL_OK;

	pl_buf_init(&list, 0);
	g->script = languages[from].script;
	for (size_t i = from; i < to && st == PL_OK; i++)
		st = add_fingerprint(dir, i, h, &list, g, err);
	if (st == PL_OK && g->n > 1) {
		g->library = load(dir, &list);
		if (g->library != NULL)
			g->found = textcat_GetClassifyFullOutput(g->library);
		if (g->found == NULL)
			st = pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, dir, "libexttextcat cannot load these fingerprints of languages");
	}
	pl_buf_release(&list);
	return st;
}

static enum pl_status open_dir(struct pl_language *l, const char *dir, size_t *n, struct pl_err *err)
{
	struct pl_hasher *h = pl_hasher_new();
	uint64_t digest[2];
	enum pl_status st = h != NULL ? PL_OK : pl_fail_nomem(err);

	*n = 0;
	l->ngroups = 0;
	if (st == PL_OK)
		st = open_group(&l->groups[l->ngroups++], dir, 0, COMMON, h, err);
	for (size_t from = 0, to; from < LANGUAGES && st == PL_OK && l->ngroups < GROUPS_MAX; from = to) {
		struct group *g = &l->groups[l->ngroups++];
		for (to = from + 1; to < LANGUAGES && strcmp(languages[to].script, languages[from].script) == 0;)
			to++;
		st = open_group(g, dir, from, to, h, err);
		*n += g->n;
	}
	if (st == PL_OK && *n > 0) {
		pl_hasher_digest(h, digest);
		snprintf(l->name, sizeof(l->name), "libexttextcat, %zu languages, %016llx", *n, (unsigned long long)digest[0]);
	}
	pl_hasher_free(h);
	return st;
}

enum pl_status pl_language_open(struct pl_language **out, const char *dir, struct pl_err *err)
{
	const char *named = dir != NULL ? dir : getenv("PLAIT_LANGUAGES");
	const char *const places[] = { QUOTED(LANGUAGES_DIR), "/usr/share/libexttextcat", "/usr/local/share/libexttextcat" };
	struct pl_language *l = calloc(1, sizeof(*l));
	enum pl_status st = PL_OK;
	size_t n = 0;

	*out = NULL;
	if (l == NULL)
		return pl_fail_nomem(err);
	if (named != NULL) {
		st = open_dir(l, named, &n, err);
		if (st == PL_OK && n == 0)
			st = pl_fail(err, PL_ERR_NOTFOUND, PL_SEV_JOB, named, "no fingerprints of languages (en.lm and others) are here");
	}
	for (size_t i = 0; i < PL_ARRAY_LEN(places) && named == NULL && n == 0 && st == PL_OK; i++)
		if (places[i][0] != '\0')
			st = open_dir(l, places[i], &n, err);
	if (st != PL_OK || n == 0)
		pl_language_close(l);
	else
		*out = l;
	return st;
}

void pl_language_close(struct pl_language *l)
{
	if (l == NULL)
		return;
	for (size_t i = 0; i < l->ngroups; i++) {
		struct group *g = &l->groups[i];
		if (g->found != NULL)
			textcat_ReleaseClassifyFullOutput(g->library, g->found);
		if (g->library != NULL)
			textcat_Done(g->library);
	}
	free(l);
}

const char *pl_language_name(const struct pl_language *l)
{
	return l->name;
}

/* At a code point's start: the library must not see half of one. */
static size_t cut(const char *text, size_t len)
{
	if (len <= PL_LANGUAGE_MAX_BYTES)
		return len;
	for (len = PL_LANGUAGE_MAX_BYTES; len > 0 && ((unsigned char)text[len] & 0xC0) == 0x80; len--)
		;
	return len;
}

/* Japanese is written in three scripts; Han is the one it shares. */
static const struct group *find_group(const struct pl_language *l, const char script[4], size_t len)
{
	const char *want = memcmp(script, "Hira", 4) == 0 || memcmp(script, "Kana", 4) == 0 ? "Hani" : script;

	for (size_t i = len < COMMON_BYTES ? 0 : 1; i < l->ngroups; i++)
		if (memcmp(l->groups[i].script, want, 4) == 0)
			return &l->groups[i];
	return NULL;
}

void pl_language_guess(struct pl_language *l, const char *text, size_t len, const char script[4], char code[4], float *margin)
{
	char front[PL_LANGUAGE_MAX_BYTES + 8] = {0};
	const struct group *g;
	int n;

	memset(code, 0, 4);
	*margin = NAN;
	len = cut(text, len);
	g = find_group(l, script, len);
	if (g == NULL || g->n == 0 || len < PL_LANGUAGE_MIN_BYTES)
		return;
	*margin = PL_LANGUAGE_FAR;
	if (g->n == 1) {
		memcpy(code, g->code, strnlen(g->code, 3));
		return;
	}
	/* The library looks at bytes behind the text. */
	memcpy(front, text, len);
	n = textcat_ClassifyFull(g->library, front, len, g->found);
	if (n <= 0 || g->found[0].score <= 0) {
		*margin = NAN;
		return;
	}
	memcpy(code, g->found[0].name, strnlen(g->found[0].name, 3));
	/* Two fingerprints can be of one language. */
	for (int i = 1; i < n; i++)
		if (strncmp(g->found[i].name, code, 4) != 0) {
			float far = (float)(g->found[i].score - g->found[0].score) / (float)g->found[0].score;
			*margin = far < PL_LANGUAGE_FAR ? far : PL_LANGUAGE_FAR;
			return;
		}
}

#else

enum pl_status pl_language_open(struct pl_language **out, const char *dir, struct pl_err *err)
{
	*out = NULL;
	if (dir == NULL)
		dir = getenv("PLAIT_LANGUAGES");
	return dir == NULL ? PL_OK :
	    pl_fail(err, PL_ERR_UNSUPPORTED, PL_SEV_JOB, dir, "this plait was built without libexttextcat, so it cannot tell languages");
}

void pl_language_close(struct pl_language *l)
{
	(void)l;
}

const char *pl_language_name(const struct pl_language *l)
{
	(void)l;
	return "";
}

void pl_language_guess(struct pl_language *l, const char *text, size_t len, const char script[4], char code[4], float *margin)
{
	(void)l;
	(void)script;
	(void)text;
	(void)len;
	memset(code, 0, 4);
	*margin = NAN;
}

#endif
